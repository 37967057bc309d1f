"""Several rewards of many answers: weighed, checked and summed up.

Each answer is parsed once by whoever calls; every reward sees the same `Prediction`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from rexkit.errors import UserError
from rexkit.registry import REWARDS, check_names
from rexkit.structures import Annotation, Array, Prediction

OnRewardError = Literal["raise", "zero"]
Reward = Callable[[Prediction, Annotation], float]


class RewardError(UserError):
    """A reward that raised, or gave what no reward may be; the message names it and the sample."""


@dataclass
class RewardTable:
    """Rewards of some answers.

    Attributes:
        total: (N,) the weighted mean of all rewards, in [0, 1].
        by_name: (N,) for each reward, unweighed, in [0, 1].
    """

    total: Array
    by_name: dict[str, Array]


@dataclass
class WeightedRewards:
    """Rewards that a config names, with their weights.

    Args:
        configs: names or configs of REWARDS; a config may have a ``weight`` (1 if left out) and a
            ``name`` it is logged under (its ``type`` if left out).
        on_error: what happens where a reward raises or gives a number that is none or outside
            [0, 1]: "raise" stops, "zero" gives 0 and counts it in `failures`.
        key: where the configs stand, for messages.

    >>> rewards = WeightedRewards(["format", dict(type="count", weight=3)])
    >>> rewards.score([Prediction((9, 9))], [Annotation((9, 9))], ["a.jpg"]).total
    array([1.])
    """

    configs: Sequence[str | Mapping[str, Any]]
    on_error: OnRewardError = "raise"
    key: str = "rewards"
    failures: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._rewards: dict[str, Any] = {}
        self._weights: dict[str, float] = {}
        for i, given in enumerate(self.configs):
            config: dict[str, Any] = {"type": given} if isinstance(given, str) else dict(given)
            weight, name = config.pop("weight", 1.0), config.pop("name", None)
            place = f"{self.key}.{i}"
            if not weight >= 0:
                raise UserError(f"{place}.weight: must not be negative, got {weight}")
            name = name or str(config.get("type"))
            if name in self._rewards:
                raise UserError(f"{place}: there are two rewards {name!r}; give one a name=…")
            self._rewards[name] = build_reward(config, place)
            self._weights[name] = float(weight)
        if not sum(self._weights.values()) > 0:
            raise UserError(f"{self.key}: at least one reward needs a weight above 0")

    @property
    def names(self) -> list[str]:
        """The names that rewards are logged under, in order."""
        return list(self._rewards)

    def score(
        self,
        predictions: Sequence[Prediction],
        targets: Sequence[Annotation],
        sources: Sequence[str],
    ) -> RewardTable:
        """Reward some answers.

        Args:
            predictions: the answers, read.
            targets: the truth of each.
            sources: where each comes from, for messages.

        Raises:
            RewardError: with ``on_error="raise"``.
        """
        by_name = {
            name: self._one(name, reward, predictions, targets, sources)
            for name, reward in self._rewards.items()
        }
        weights = np.array([self._weights[name] for name in by_name])
        total = weights @ np.array([*by_name.values()]) / weights.sum()
        return RewardTable(total, by_name)

    def _one(
        self,
        name: str,
        reward: Any,
        predictions: Sequence[Prediction],
        targets: Sequence[Annotation],
        sources: Sequence[str],
    ) -> Array:
        batch = getattr(reward, "batch", None)
        if batch is not None:
            try:
                values = np.asarray(batch(predictions, targets), dtype=np.float64)
            except Exception as error:  # noqa: BLE001 - user code; named and raised again
                return self._all_failed(name, sources, f"raised {error!r}", error)
            if values.shape != (len(predictions),):
                wrong = f"gave {values.shape} numbers for {len(predictions)} answers"
                return self._all_failed(name, sources, wrong, None)
        else:
            values = np.array(
                [
                    self._call(name, reward, prediction, target, source)
                    for prediction, target, source in zip(
                        predictions, targets, sources, strict=True
                    )
                ],
                dtype=np.float64,
            )
        wrong_ones = ~((values >= 0) & (values <= 1))
        for i in np.flatnonzero(wrong_ones).tolist():
            self._fail(name, sources[i], f"gave {values[i]}, which is not in [0, 1]", None)
        return np.where(wrong_ones, 0.0, values)

    def _call(
        self, name: str, reward: Reward, prediction: Prediction, target: Annotation, source: str
    ) -> float:
        try:
            return float(reward(prediction, target))
        except Exception as error:  # noqa: BLE001 - user code; named and raised again
            self._fail(name, source, f"raised {error!r}", error)
            return 0.0

    def _all_failed(
        self, name: str, sources: Sequence[str], wrong: str, error: Exception | None
    ) -> Array:
        for source in sources:
            self._fail(name, source, wrong, error)
        return np.zeros(len(sources))

    def _fail(self, name: str, source: str, wrong: str, error: Exception | None) -> None:
        if self.on_error == "raise":
            raise RewardError(
                f"reward {name!r} {wrong} for {source}; mend it, or let such answers count 0 with "
                "reward_errors='zero'"
            ) from error
        self.failures[name] = self.failures.get(name, 0) + 1


def build_reward(config: Mapping[str, Any], key: str) -> Any:
    """A reward of REWARDS with its arguments: a function, or an object of a class.

    Raises:
        ConfigError: no such reward, or arguments it does not take.
    """
    component = REWARDS.component(config, key)
    if inspect.isclass(component):
        return REWARDS.build(config, key=key)
    arguments = {name: value for name, value in config.items() if name != "type"}
    check_names(component, arguments, key)
    return partial(component, **arguments) if arguments else component
