"""One line of ``predictions.jsonl``, read back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexkit.errors import UserError
from rexkit.formats.items import from_items
from rexkit.structures import Annotation, Prediction, Problem

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Record:
    """What was asked, what was answered and what is true, of one example of a test.

    Attributes:
        index: of the example in the config's ``test_data``.
        source: where it comes from, as in `rexkit.structures.Sample`.
        image_path: the file of the image, where it has one of its own.
        prompt: the question.
        phrases: what was asked for.
        truth: what is there, in pixels.
        prediction: what was answered, with its text and its problems.
        truncated: whether the answer was cut off at the token limit.
        num_output_tokens: how many tokens were generated.
    """

    index: int
    source: str
    image_path: str | None
    prompt: str
    phrases: list[str]
    truth: Annotation
    prediction: Prediction
    truncated: bool
    num_output_tokens: int


def read_records(file: Path) -> Iterator[Record]:
    """The records of a ``predictions.jsonl``, one at a time.

    A last line that a killed test did not finish is left out with a warning.

    Raises:
        UserError: a line is no record; the message names file and line.
    """
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                logger.warning("%s:%d: the line is not complete and is left out", file, number)
                return
            try:
                yield _record(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{file}:{number}: this is no record of a test "
                    f"({type(error).__name__}: {error}); test again"
                ) from error


def _record(row: dict[str, Any]) -> Record:
    width, height = row["image_size"]
    size = (int(width), int(height))
    answered = from_items(row["extracted_predictions"], size)
    prediction = Prediction(
        size,
        answered.instances,
        answered.absent,
        problems=[Problem(**problem) for problem in row["problems"]],
        text=row["raw_response"],
        order=list(row["extracted_predictions"]),
    )
    truth = from_items(row["gt"], size)
    return Record(
        index=row["index"],
        source=row["source"],
        image_path=row["image_path"],
        prompt=row["question"],
        phrases=row["categories"],
        truth=truth,
        prediction=prediction,
        truncated=row["truncated"],
        num_output_tokens=row["num_output_tokens"],
    )
