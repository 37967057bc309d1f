"""The reward function of a training run: completions are parsed once, then scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rexkit.errors import ConfigError
from rexkit.examples import Source
from rexkit.rewards import RewardTable, WeightedRewards
from rexkit.rewards.weighted_rewards import OnRewardError
from rexkit.structures import Example, Prediction

Log = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Completion:
    """A sampled response.

    Attributes:
        prediction: what was parsed from its text.
        num_tokens: its length, end of the turn included.
        truncated: whether it ended at the token limit, without the end of the turn.
    """

    prediction: Prediction
    num_tokens: int
    truncated: bool


OnBatch = Callable[[int, Sequence[Example], Sequence[Completion], RewardTable], None]
"""A callback for every batch: number of updates, examples, completions and rewards."""


class RewardFunction:
    """Reward completions of sources that may each have their own rewards.

    Args:
        sources: sources with their parsers and rewards; one without ``rewards`` gets the run's.
        rewards: rewards of the run, as in `WeightedRewards`.
        on_error: as in `WeightedRewards`.
        tokenizer: turns completions into text, special tokens included.
        on_batch: called after every batch.

    Raises:
        ConfigError: a source has no rewards and neither has the run.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        rewards: Sequence[str | Mapping[str, Any]],
        on_error: OnRewardError,
        tokenizer: Any,
        on_batch: OnBatch | None = None,
    ):
        self.tokenizer = tokenizer
        self.on_batch = on_batch
        self.parsers = [source.parser for source in sources]
        shared = WeightedRewards(rewards, on_error, "trainer.rewards") if rewards else None
        self.rewards: list[WeightedRewards] = []
        for number, source in enumerate(sources):
            found = shared
            if source.rewards:
                found = WeightedRewards(source.rewards, on_error, f"train_data.{number}.rewards")
            if found is None:
                raise ConfigError(
                    f"train_data.{number} has no rewards; give it rewards=[…], or the trainer"
                )
            self.rewards.append(found)
        self._kinds: set[str] = set()

    def read(self, completion_ids: Sequence[int], example: Example, source: int) -> Completion:
        """Parse a completion: its text up to the end of the turn."""
        ids, end = list(completion_ids), self.tokenizer.eos_token_id
        truncated = end not in ids
        text_ids = ids if truncated else ids[: ids.index(end)]
        prediction: Prediction = self.parsers[source](
            self.tokenizer.decode(text_ids), example.target.image_size
        )
        return Completion(prediction, len(text_ids) + (not truncated), truncated)

    def score(
        self,
        predictions: Sequence[Prediction],
        examples: Sequence[Example],
        sources: Sequence[int],
    ) -> RewardTable:
        """Return the rewards of predictions, each by the rewards of its source.

        Returns:
            One row for each prediction; NaN for rewards that its source does not have.

        Raises:
            RewardError: with ``on_error="raise"``; it names the reward and the sample.
        """
        total = np.zeros(len(predictions))
        by_name: dict[str, Any] = {}
        numbers = np.asarray(sources)
        for number in dict.fromkeys(sources):
            rows = np.flatnonzero(numbers == number).tolist()
            table = self.rewards[number].score(
                [predictions[row] for row in rows],
                [examples[row].target for row in rows],
                [examples[row].source for row in rows],
            )
            total[rows] = table.total
            for name, values in table.by_name.items():
                column = by_name.setdefault(name, np.full(len(predictions), np.nan))
                column[rows] = values
        return RewardTable(total, by_name)

    def total(
        self,
        completion_ids: Sequence[Sequence[int]],
        example: Sequence[Example],
        source: Sequence[int],
        log_metric: Log,
        trainer_state: Any,
        **others: Any,
    ) -> list[float]:
        """Return the total reward of each completion, as TRL calls it, and log metrics.

        Logged are ``rewards/NAME/mean`` and ``/std`` of each reward, unweighted; ``problems/KIND``,
        the number per completion; ``problems/any``, the share of completions with a problem; and
        with ``reward_errors="zero"`` ``reward_errors/NAME``, the number of failed completions.
        """
        failed_before = self._failures()
        completions = [self.read(*row) for row in zip(completion_ids, example, source, strict=True)]
        predictions = [completion.prediction for completion in completions]
        table = self.score(predictions, example, source)
        for name, values in table.by_name.items():
            log_metric(f"rewards/{name}/mean", float(np.nanmean(values)))
            log_metric(f"rewards/{name}/std", float(np.nanstd(values)))
        problems = Counter(p.kind for prediction in predictions for p in prediction.problems)
        self._kinds.update(problems)
        # A kind seen once is logged from then on, or its mean would leave out the zeros.
        for kind in self._kinds:
            log_metric(f"problems/{kind}", problems[kind] / len(predictions))
        log_metric("problems/any", float(np.mean([bool(p.problems) for p in predictions])))
        for name, number in (self._failures() - failed_before).items():
            log_metric(f"reward_errors/{name}", number)
        if self.on_batch is not None:
            self.on_batch(trainer_state.global_step, example, completions, table)
        found: list[float] = table.total.tolist()
        return found

    def _failures(self) -> Counter[str]:
        # Sources may share their rewards, which count once.
        different = {id(rewards): rewards for rewards in self.rewards}
        return sum((Counter(rewards.failures) for rewards in different.values()), Counter())
