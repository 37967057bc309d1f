"""Timing of the phases of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback


class StepTimer:
    """Seconds by phase; one within another stops the clock of the outer one, so they add up.

    Args:
        clock: gives the time in seconds.

    >>> now = iter([0.0, 1.0, 4.0, 6.0])
    >>> phases = StepTimer(lambda: next(now))
    >>> with phases("update"), phases("rewards"):
    ...     pass
    >>> phases.take()
    {'update': 3.0, 'rewards': 3.0}
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._open: list[str] = []
        self._since = 0.0
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """While the context lasts, time is the phase's."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def begin(self, name: str) -> None:
        """Open a phase, until `end`."""
        self._charge()
        self._open.append(name)
        self._seconds.setdefault(name, 0.0)

    def end(self) -> None:
        """Close the phase that was opened last."""
        self._charge()
        self._open.pop()

    def take(self) -> dict[str, float]:
        """Return the seconds of each phase since the last call; between phases only."""
        found, self._seconds = self._seconds, {}
        return found

    def _charge(self) -> None:
        now = self._clock()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now


class OptimizerTimer(TrainerCallback):
    """Count the optimizer's step to a phase."""

    def __init__(self, phases: StepTimer, name: str):
        self.phases, self.name = phases, name

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the phase."""
        self.phases.begin(self.name)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the phase."""
        self.phases.end()
