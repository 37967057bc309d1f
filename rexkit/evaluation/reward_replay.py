"""Rewards replayed on a file of prediction records, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.predictions import PredictionRecord, read_predictions
from rexkit.rewards import WeightedRewards
from rexkit.structures import Annotation

BATCH = 256


@dataclass(slots=True)
class RewardedCompletion:
    """A completion with its rewards.

    Attributes:
        place: its file and line.
        source: name of its sample; "" if the record has none.
        text: the completion.
        total: the weighted mean of all rewards, in [0, 1].
        by_name: each reward, in [0, 1].
    """

    place: str
    source: str
    text: str
    total: float
    by_name: dict[str, float]


def replay(
    file: Path, rewards: WeightedRewards, parser: Any = None
) -> Iterator[RewardedCompletion]:
    """Compute the rewards of every record of a file, in the order of the file.

    Records of images that could not be used are passed over.

    Args:
        file: a file of records (`rexkit.formats.predictions`): ``predictions.jsonl`` of a test or
            of ``rexkit predict``, or ``completions.jsonl`` of GRPO.
        rewards: the rewards.
        parser: of PARSERS, to read the texts again; left out, the predictions are those that the
            run's own parser read.

    Raises:
        DataError: a line is no record; the message names file and line.
        RewardError: a reward fails, as one that compares with the ground truth does where the
            record has none.
    """
    records = ((r, r.prediction) for r in read_predictions(file) if r.prediction is not None)
    while batch := list(islice(records, BATCH)):
        predictions = [p if parser is None else parser(p.text, p.image_size) for _, p in batch]
        targets = [_target(record) for record, _ in batch]
        table = rewards.score(predictions, targets, [record.place for record, _ in batch])
        for i, (record, prediction) in enumerate(batch):
            each = {name: float(values[i]) for name, values in table.by_name.items()}
            yield RewardedCompletion(
                record.place, record.source, prediction.text, float(table.total[i]), each
            )


def histogram(values: Sequence[float], bars: int = 10) -> list[int]:
    """Return how many values lie in each of some equal parts of [0, 1].

    >>> histogram([0.0, 0.55, 1.0, 1.0], bars=2)
    [1, 3]
    """
    counts, _ = np.histogram(np.asarray(values, dtype=np.float64), bars, (0.0, 1.0))
    return list(map(int, counts))


def _target(record: PredictionRecord) -> Annotation:
    unknown: Any = _UnknownTarget()
    return unknown if record.target is None else record.target


class _UnknownTarget:
    """Stands for a ground truth that is not known: rewards that do not read it still work."""

    def __getattr__(self, name: str) -> Any:
        raise DataError(
            "the record has no ground truth ('gt'), which this reward compares with; replay it on "
            "the predictions of rexkit test or GRPO"
        )
