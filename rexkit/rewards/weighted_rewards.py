"""Weighted means of several rewards, with checks of what each reward returns.

The caller parses each completion once; every reward gets the same `Prediction`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from rexkit.argument_types import check_types
from rexkit.component_arguments import check_names
from rexkit.errors import UserError
from rexkit.registry import REWARDS
from rexkit.structures import Annotation, Array, Prediction

OnRewardError = Literal["raise", "zero"]
Reward = Callable[[Prediction, Annotation], float]


class RewardError(UserError):
    """Raised for a reward that failed or is not in [0, 1]; names the reward and the sample."""


@dataclass
class RewardTable:
    """The rewards of N predictions.

    Attributes:
        total: (N,) the weighted mean of all rewards, in [0, 1].
        by_name: (N,) for each reward, unweighted, in [0, 1].
    """

    total: Array
    by_name: dict[str, Array]


@dataclass
class WeightedRewards:
    """Rewards of a config, with their weights.

    Args:
        configs: names or configs of REWARDS; a config may have a ``weight`` (default 1) and a
            ``name`` that it is logged under (default its ``type``).
        on_error: what to do if a reward raises or is not a number in [0, 1]: "raise" stops, "zero"
            uses 0 and counts the failure in ``failures``.
        key: the config key of ``configs``, for error messages.

    Attributes:
        failures: the number of failures of each reward.

    Raises:
        UserError: a weight is negative, no weight is above 0, or two rewards have one name.

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
            reward_key = f"{self.key}.{i}"
            if not weight >= 0:
                raise UserError(f"{reward_key}.weight: must be 0 or more, got {weight}")
            name = name or str(config.get("type"))
            if name in self._rewards:
                raise UserError(
                    f"{reward_key}: two rewards have the name {name!r}; set name=… of one"
                )
            self._rewards[name] = build_reward(config, reward_key)
            self._weights[name] = float(weight)
        if not sum(self._weights.values()) > 0:
            raise UserError(f"{self.key}: at least one reward needs a weight above 0")

    @property
    def names(self) -> list[str]:
        """The names that the rewards are logged under, in order."""
        return list(self._rewards)

    def score(
        self,
        predictions: Sequence[Prediction],
        targets: Sequence[Annotation],
        sources: Sequence[str],
    ) -> RewardTable:
        """Compute all rewards of N predictions.

        Args:
            predictions: the parsed completions.
            targets: the ground truth of each.
            sources: the file and line or image of each, for error messages.

        Returns:
            Each reward and their weighted mean.

        Raises:
            RewardError: a reward failed, with ``on_error="raise"``.
        """
        by_name = {
            name: self._score_one(name, reward, predictions, targets, sources)
            for name, reward in self._rewards.items()
        }
        weights = np.array([self._weights[name] for name in by_name])
        total = weights @ np.array([*by_name.values()]) / weights.sum()
        return RewardTable(total, by_name)

    def _score_one(
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
            except Exception as error:  # noqa: BLE001 - user code; reported with its name
                return self._all_failed(name, sources, f"raised {error!r}", error)
            if values.shape != (len(predictions),):
                wrong = f"returned {values.shape} numbers for {len(predictions)} predictions"
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
            self._fail(name, sources[i], f"returned {values[i]}, which is not in [0, 1]", None)
        return np.where(wrong_ones, 0.0, values)

    def _call(
        self, name: str, reward: Reward, prediction: Prediction, target: Annotation, source: str
    ) -> float:
        try:
            return float(reward(prediction, target))
        except Exception as error:  # noqa: BLE001 - user code; reported with its name
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
                f"reward {name!r} {wrong} for {source}; fix it, or set reward_errors='zero' to "
                "count such predictions as 0"
            ) from error
        self.failures[name] = self.failures.get(name, 0) + 1


def build_reward(config: Mapping[str, Any], key: str) -> Any:
    """Build a reward of REWARDS: bind the arguments of a function, or construct a class.

    Args:
        config: the ``type`` of the reward and its arguments.
        key: the config key, for error messages.

    Returns:
        A callable ``(prediction, target) -> float``, or an object with a method ``batch``.

    Raises:
        ConfigError: the reward is not registered or does not take these arguments.
    """
    component = REWARDS.component(config, key)
    if inspect.isclass(component):
        return REWARDS.build(config, key=key)
    arguments = {name: value for name, value in config.items() if name != "type"}
    check_names(component, arguments, key)
    check_types(component, arguments, key)
    return partial(component, **arguments) if arguments else component
