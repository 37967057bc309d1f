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
        location: file and line of its record, such as "completions.jsonl:17".
        source: name of its sample; "" if the record has none.
        text: the completion.
        total: the weighted mean of all rewards, in [0, 1].
        by_name: each reward, in [0, 1].
    """

    location: str
    source: str
    text: str
    total: float
    by_name: dict[str, float]


def replay(
    file: Path, rewards: WeightedRewards, parser: Any = None
) -> Iterator[RewardedCompletion]:
    """Compute the rewards of every record of a file, in the order of the file.

    Records of images that could not be used are skipped.

    Args:
        file: a file of records (`rexkit.formats.predictions`): ``predictions.jsonl`` of a test or
            of ``rexkit predict``, ``completions.jsonl`` of GRPO, or the public ``answer.jsonl``.
        rewards: the rewards.
        parser: of PARSERS, to parse the texts again; None takes the predictions of the run's own
            parser.

    Raises:
        DataError: a line is not a record; the message names file and line.
        RewardError: a reward fails, as it does if it needs ground truth and the record has none.
    """
    records = ((r, r.prediction) for r in read_predictions(file) if r.prediction is not None)
    while batch := list(islice(records, BATCH)):
        predictions = [p if parser is None else parser(p.text, p.image_size) for _, p in batch]
        targets = [_target(record) for record, _ in batch]
        table = rewards.score(predictions, targets, [record.location for record, _ in batch])
        for i, (record, prediction) in enumerate(batch):
            each = {name: float(values[i]) for name, values in table.by_name.items()}
            yield RewardedCompletion(
                record.location, record.source, prediction.text, float(table.total[i]), each
            )


def histogram(values: Sequence[float], bars: int = 10) -> list[int]:
    """Return how many values are in each of ``bars`` equal parts of [0, 1].

    >>> histogram([0.0, 0.55, 1.0, 1.0], bars=2)
    [1, 3]
    """
    counts, _ = np.histogram(np.asarray(values, dtype=np.float64), bars, (0.0, 1.0))
    return list(map(int, counts))


def _target(record: PredictionRecord) -> Annotation:
    unknown: Any = _UnknownTarget()
    return unknown if record.target is None else record.target


class _UnknownTarget:
    """A placeholder for missing ground truth; raises an error when a reward reads it."""

    def __getattr__(self, name: str) -> Any:
        raise DataError(
            "the record has no ground truth ('gt'), which this reward compares with; replay it on "
            "the predictions of rexkit test or GRPO"
        )
