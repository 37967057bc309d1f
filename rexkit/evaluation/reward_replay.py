"""Rewards replayed on a file of answers, without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import UserError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.items import from_items
from rexkit.grammar import Transcription, read
from rexkit.rewards import WeightedRewards
from rexkit.structures import Annotation, ImageSize

ANSWER_KEYS = ("raw_response", "raw_output", "completion", "text")
BATCH = 256


@dataclass(slots=True)
class RewardedAnswer:
    """An answer with what it was given.

    Attributes:
        place: its file and line.
        source: what the line calls its sample; "" if it does not.
        text: the answer.
        total: the weighted mean of all rewards.
        by_name: each reward.
    """

    place: str
    source: str
    text: str
    total: float
    by_name: dict[str, float]


def replay(
    file: Path, rewards: WeightedRewards, transcription: Transcription | None = None
) -> Iterator[RewardedAnswer]:
    """Reward every answer of a JSONL file, in the order of the file.

    A line is an object with ``image_size`` [width, height], the answer under one of
    `ANSWER_KEYS`, and the truth: ``gt`` by phrase as ``predictions.jsonl`` has it,
    ``ground_truth`` by phrase as the public wrapper's records spell geometries, or ``annotation``,
    a record as data sets hold it.

    Args:
        file: the JSONL file, such as the ``predictions.jsonl`` of a test.
        rewards: what to pay for.
        transcription: where OCR answers have their texts, as in `rexkit.grammar.read`.

    Raises:
        UserError: a line that cannot be used, with its number; a reward that fails.
    """
    with file.open(encoding="utf-8") as lines:
        numbered = enumerate(lines, start=1)
        while batch := list(islice(numbered, BATCH)):
            rows = [_row(line, f"{file}:{number}") for number, line in batch if line.strip()]
            predictions = [read(r.text, r.image_size, transcription=transcription) for r in rows]
            table = rewards.score(predictions, [r.truth for r in rows], [r.place for r in rows])
            for i, row in enumerate(rows):
                each = {name: float(values[i]) for name, values in table.by_name.items()}
                yield RewardedAnswer(row.place, row.source, row.text, float(table.total[i]), each)


def histogram(values: Sequence[float], bars: int = 10) -> list[int]:
    """How many values lie in each of some equal parts of [0, 1].

    >>> histogram([0.0, 0.55, 1.0, 1.0], bars=2)
    [1, 3]
    """
    counts, _ = np.histogram(np.asarray(values, dtype=np.float64), bars, (0.0, 1.0))
    return list(map(int, counts))


@dataclass(slots=True)
class _Row:
    place: str
    source: str
    text: str
    image_size: ImageSize
    truth: Annotation


def _row(line: str, place: str) -> _Row:
    try:
        row: Any = json.loads(line)
        width, height = row["image_size"]
        size = (int(width), int(height))
        named = [key for key in ANSWER_KEYS if isinstance(row.get(key), str)]
        if not named:
            raise UserError(f"no answer; it would be under one of {', '.join(ANSWER_KEYS)}")
        return _Row(place, str(row.get("source", "")), row[named[0]], size, _truth(row, size))
    except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
        missing = isinstance(error, KeyError)
        wrong = f"the line has no {error}" if missing else str(error)
        raise UserError(f"{place}: {wrong}") from error


def _truth(row: Mapping[str, Any], size: ImageSize) -> Annotation:
    if "gt" in row:
        return from_items(row["gt"], size)
    if "ground_truth" in row:
        return from_items(
            {
                phrase: [_item(geometry) for geometry in geometries]
                for phrase, geometries in row["ground_truth"].items()
            },
            size,
        )
    if "annotation" in row:
        return read_record(row["annotation"], size)
    raise UserError("no truth; it would be under 'gt', 'ground_truth' or 'annotation'")


def _item(geometry: Mapping[str, Any]) -> Any:
    if geometry["type"] == "keypoint":
        return {"bbox": geometry["bbox"], "keypoints": geometry["keypoints"]}
    return np.ravel(geometry["coords"]).tolist()
