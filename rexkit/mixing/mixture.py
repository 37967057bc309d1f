"""What a config says about the mixture of its sources: shares, size of an epoch, stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rexkit.config import MIXTURE_KEYS
from rexkit.datasets.mixture_shares import check_temperature
from rexkit.errors import ConfigError, ErrorCollector, did_you_mean

STAGE_KEYS: dict[str, str] = {
    "epochs": "how many epochs the stage lasts; the last stage goes on to the end without it",
    "name": "of the stage, for reports",
    "shares": "the share of each source in the stage, a list of numbers",
    "max_instances": "the most instances of a row",
    "max_phrases": "the most different phrases of a row",
    "easiest": "the fraction of each source's rows, those with the fewest instances",
}
"""What a stage of a mixture may set."""


@dataclass(frozen=True)
class Stage:
    """A stretch of epochs with shares and rows of its own.

    Attributes:
        epochs: how many; None goes on to the end.
        name: for reports.
        shares: of the sources, relative to each other; None for those of the mixture.
        max_instances: the most instances of a row that is drawn; None for any number.
        max_phrases: the most different phrases of a row that is drawn; None for any number.
        easiest: the fraction of a source's rows that is drawn, those with the fewest instances,
            and of these those with the fewest phrases.
    """

    epochs: int | None = None
    name: str = ""
    shares: tuple[float, ...] | None = None
    max_instances: int | None = None
    max_phrases: int | None = None
    easiest: float = 1.0

    @property
    def filters(self) -> bool:
        """Whether the stage leaves rows out."""
        return self.easiest < 1 or (self.max_instances, self.max_phrases) != (None, None)


@dataclass(frozen=True)
class Mixture:
    """How sources are mixed.

    Attributes:
        temperature: shares are proportional to ``size ** (1 / temperature)``; None for the
            ``share`` or the ``weight`` of each source.
        epoch_size: examples of an epoch; None for the sum of the sources.
        max_passes: the most passes through a source in an epoch; None for any number.
        stages: one after the other; none for one without end.
        gradual: whether shares and ``easiest`` go evenly from those of a stage to those of the
            next, epoch by epoch.
    """

    temperature: float | None = None
    epoch_size: int | None = None
    max_passes: float | None = None
    stages: tuple[Stage, ...] = (Stage(),)
    gradual: bool = False

    @property
    def filters(self) -> bool:
        """Whether a stage leaves rows out."""
        return any(stage.filters for stage in self.stages)

    def stage_at(self, epoch: int) -> tuple[int, int]:
        """Return the number of the stage of an epoch, and the first epoch of that stage."""
        first = 0
        for number, stage in enumerate(self.stages[:-1]):
            assert stage.epochs is not None
            if epoch < first + stage.epochs:
                return number, first
            first += stage.epochs
        return len(self.stages) - 1, first

    def easiest_at(self, epoch: int) -> float:
        """Return the fraction of a source's rows that an epoch draws from."""
        here, after, done = self._between(epoch)
        return (1 - done) * here.easiest + done * after.easiest

    def shares_at(
        self, epoch: int, base: Sequence[float]
    ) -> tuple[Sequence[float], Sequence[float], float]:
        """Return the shares of the stage and of the next one, and how far an epoch is between.

        Args:
            epoch: from 0.
            base: the shares of a stage that sets none.
        """
        here, after, done = self._between(epoch)
        return here.shares or base, after.shares or base, done

    def _between(self, epoch: int) -> tuple[Stage, Stage, float]:
        number, first = self.stage_at(epoch)
        here = self.stages[number]
        if not self.gradual or here.epochs is None or number + 1 == len(self.stages):
            return here, here, 0.0
        return here, self.stages[number + 1], (epoch - first) / here.epochs

    def repeated(self, times: Sequence[int]) -> Mixture:
        """Return the mixture where each source is split into several, of the same share.

        Args:
            times: into how many each source is split.
        """
        stages = tuple(
            stage
            if stage.shares is None
            else replace(
                stage,
                shares=tuple(
                    share for share, n in zip(stage.shares, times, strict=True) for _ in range(n)
                ),
            )
            for stage in self.stages
        )
        return replace(self, stages=stages)


def read_mixture(cfg: Mapping[str, Any], key: str, num_sources: int) -> Mixture:
    """Return the mixture of a config, ``train_data=dict(sources=[…], …)``.

    Args:
        cfg: with the keys of `rexkit.config.MIXTURE_KEYS`.
        key: its config key, for messages.
        num_sources: how many sources it has.

    Raises:
        ConfigError: unknown keys and values that cannot be used, reported together.
    """
    errors = ErrorCollector()
    _check_keys(cfg, MIXTURE_KEYS, key, "a mixture", errors)
    temperature, passes = cfg.get("temperature"), cfg.get("max_passes")
    with errors.collect():
        if temperature is not None:
            try:
                check_temperature(temperature)
            except ValueError as error:
                raise ConfigError(f"{key}.{error}") from error
    with errors.collect():
        _check_number(cfg.get("epoch_size"), f"{key}.epoch_size", int, 1)
    with errors.collect():
        _check_number(passes, f"{key}.max_passes", float, 0)
    gradual, stages = cfg.get("gradual", False), cfg.get("stages")
    with errors.collect():
        if not isinstance(gradual, bool):
            raise ConfigError(f"{key}.gradual: must be True or False, got {gradual!r}")
        if gradual and not stages:
            raise ConfigError(f"{key}.gradual: needs stages, between which the shares change")
    read: list[Stage] = [Stage()]
    if stages is not None:
        with errors.collect():
            read = _read_stages(stages, f"{key}.stages", num_sources)
    errors.raise_all()
    return Mixture(temperature, cfg.get("epoch_size"), passes, tuple(read), gradual)


def _read_stages(stages: Any, key: str, num_sources: int) -> list[Stage]:
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise ConfigError(f"{key}: must be a list of dict(epochs=…, …), got {stages!r}")
    errors = ErrorCollector()
    found = []
    for number, cfg in enumerate(stages):
        with errors.collect():
            last = number == len(stages) - 1
            found.append(_read_stage(cfg, f"{key}.{number}", num_sources, last))
    errors.raise_all()
    return found


def _read_stage(cfg: Any, key: str, num_sources: int, last: bool) -> Stage:
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"{key}: expected dict(epochs=…, …), got {cfg!r}")
    errors = ErrorCollector()
    _check_keys(cfg, STAGE_KEYS, key, "a stage", errors)
    with errors.collect():
        if not last and cfg.get("epochs") is None:
            raise ConfigError(f"{key}.epochs: missing; only the last stage may go on to the end")
    for name in ("epochs", "max_instances", "max_phrases"):
        with errors.collect():
            _check_number(cfg.get(name), f"{key}.{name}", int, 1)
    shares, easiest = cfg.get("shares"), cfg.get("easiest", 1.0)
    with errors.collect():
        _check_number(easiest, f"{key}.easiest", float, 0)
        if easiest is None or easiest > 1:
            raise ConfigError(f"{key}.easiest: must be a fraction up to 1, got {easiest!r}")
    with errors.collect():
        _check_shares(shares, f"{key}.shares", num_sources)
    with errors.collect():
        if not isinstance(cfg.get("name", ""), str):
            raise ConfigError(f"{key}.name: must be text, got {cfg['name']!r}")
    errors.raise_all()
    kept = {name: cfg[name] for name in STAGE_KEYS if name in cfg}
    return Stage(**kept | {"shares": None if shares is None else tuple(map(float, shares))})


def _check_shares(shares: Any, key: str, num_sources: int) -> None:
    if shares is None:
        return
    listed = isinstance(shares, list | tuple) and all(
        isinstance(share, int | float) and math.isfinite(share) and share >= 0 for share in shares
    )
    if not listed or len(shares) != num_sources or not sum(shares):
        raise ConfigError(
            f"{key}: must be {num_sources} numbers of 0 or more, one for each source and not all "
            f"0, got {shares!r}"
        )


def _check_number(value: Any, key: str, kind: type, least: int) -> None:
    """Check a value that may be left out: a whole number from, or a number above, the least."""
    if value is None:
        return
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        fits = False
    else:
        fits = value >= least if whole else least < value < math.inf
    if not fits:
        wanted = f"a whole number of {least} or more" if whole else f"a number above {least}"
        raise ConfigError(f"{key}: must be {wanted}, got {value!r}")


def _check_keys(
    cfg: Mapping[str, Any], known: Mapping[str, str], key: str, what: str, errors: ErrorCollector
) -> None:
    for unknown in cfg.keys() - known.keys():
        with errors.collect():
            hint = did_you_mean(unknown, known)
            raise ConfigError(f"{key}.{unknown}: {what} has no {unknown!r}; {hint}")
