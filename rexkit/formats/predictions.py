"""Predictions on disk: one record for each image and question, in one format for all commands.

``rexkit predict`` and ``rexkit test`` write ``predictions.jsonl``, GRPO ``completions.jsonl``: JSON
Lines, an object a line. The first eight keys are those of ``answer.jsonl`` of the public Rex-Omni
evaluation.

- ``image_path``: the image's file, or null where it has none of its own
- ``dataset_name``, ``task_name``: of the data set and the task, such as "COCO" and "detection"
- ``question``: the prompt; ``categories``: what it asks for
- ``raw_response``: the text that the model wrote
- ``extracted_predictions``: what was read from it, by phrase (`rexkit.formats.phrase_geometries`)
- ``gt``: the ground truth by phrase; not there where it is not known
- ``source``: the sample, as `rexkit.structures.Sample` names it; of ``predict`` the path or URL,
  with ``#000017`` after it for a frame of a video
- ``image_size``: [width, height] of the original image, upright; all coordinates are its pixels
- ``problems``: what is wrong with the text, ``{"kind", "offset", "detail"}`` each
- ``truncated``: whether the text was cut off at the token limit
- ``num_prompt_tokens``, ``num_output_tokens``, ``seconds``: of the generation, where known
- ``resized_size``: [width, height] that the model saw, where known
- ``index``: of the example in its run; ``step``: of the training that it belongs to
- ``reward``, ``rewards``: the total and each reward by name
- ``drawing``: the file with the prediction drawn on the image, relative to the record's folder
- ``error``: why the image could not be used; there is no prediction then

Reading accepts the lines of the public ``answer.jsonl`` (`rexkit.formats.answer_records`), and
records of the public wrapper (`rexkit.inference.result.Result.to_dict`), where the text is
``raw_output`` and the ground truth may be ``ground_truth``, or ``annotation``, a record as data
sets hold it. A record without ``extracted_predictions`` is read from its text by the Rex-Omni
grammar.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rexkit.errors import DataError, near_misses
from rexkit.formats.annotation_records import read_record
from rexkit.formats.answer_records import complete_answer, is_answer
from rexkit.formats.coordinates import short
from rexkit.formats.json_lines import json_text, parse_json
from rexkit.formats.phrase_geometries import decode_annotation, encode_annotation
from rexkit.grammar import read
from rexkit.structures import Annotation, Example, ImageSize, Prediction, Problem

logger = logging.getLogger(__name__)

PREDICTIONS, COMPLETIONS = "predictions.jsonl", "completions.jsonl"
TEXT_KEYS = ("raw_response", "raw_output")
TARGET_KEYS = ("gt", "ground_truth", "annotation")

_OPTIONAL: dict[str, type] = {
    **dict.fromkeys(("index", "step", "num_prompt_tokens", "num_output_tokens"), int),
    **dict.fromkeys(("seconds", "reward"), float),
    **dict.fromkeys(("drawing", "error"), str),
}
"""Keys of a record that may be missing, but for ``resized_size``."""


@dataclass(slots=True, eq=False)
class PredictionRecord:
    """One image with a question and the prediction of a model.

    Attributes:
        source: the sample, as in `rexkit.structures.Sample`.
        task: name of the task, such as "detection".
        prompt: the text of the question.
        phrases: what was asked for.
        prediction: what was read from the text, with the text and its problems, in pixels of the
            original image; None where there is an `error`.
        target: the ground truth in pixels; None where it is not known.
        image_path: the file of the image, where it has one of its own.
        dataset: name of the data set.
        index: number of the example in its run: in the config's ``test_data``, or in the batch of a
            training step.
        step: of the training, in updates.
        resized_size: (width, height) that the model saw.
        truncated: whether the text was cut off at the token limit.
        num_prompt_tokens: length of the prompt, image included.
        num_output_tokens: length of the text, end of the turn included.
        seconds: the image's share of its batch's generation.
        reward: weighted mean of all rewards, in [0, 1].
        rewards: each reward by name, in [0, 1].
        drawing: file with the prediction drawn on the image, relative to the record's folder.
        error: why the image could not be used.
        location: file and line that it was read from, for messages.
    """

    source: str
    task: str
    prompt: str
    phrases: list[str]
    prediction: Prediction | None
    target: Annotation | None = None
    image_path: str | None = None
    dataset: str = ""
    index: int | None = None
    step: int | None = None
    resized_size: ImageSize | None = None
    truncated: bool = False
    num_prompt_tokens: int | None = None
    num_output_tokens: int | None = None
    seconds: float | None = None
    reward: float | None = None
    rewards: dict[str, float] = field(default_factory=dict)
    drawing: str | None = None
    error: str | None = None
    location: str = ""

    @classmethod
    def of(cls, example: Example, prediction: Prediction, **others: Any) -> PredictionRecord:
        """Return the record of an example's prediction.

        Args:
            example: what was asked, with the ground truth.
            prediction: what was read from the response.
            others: the other attributes, such as ``index``.
        """
        return cls(
            source=example.source,
            task=example.task,
            prompt=example.prompt,
            phrases=example.phrases,
            prediction=prediction,
            target=example.target,
            image_path=example.image_path,
            **others,
        )

    def to_dict(self, geometry: str | None = None) -> dict[str, Any]:
        """Return the JSON object of the record; the module docstring lists its keys.

        Args:
            geometry: what ``extracted_predictions`` and ``gt`` hold of each instance: the one
                geometry that the public evaluation reads, or, with None, everything; see
                `rexkit.formats.phrase_geometries.encode_annotation`.
        """
        found: dict[str, Any] = {
            "image_path": self.image_path,
            "dataset_name": self.dataset,
            "task_name": self.task,
            "question": self.prompt,
            "categories": list(self.phrases),
        }
        if self.prediction is not None:
            found["raw_response"] = self.prediction.text
            found["extracted_predictions"] = encode_annotation(self.prediction, geometry)
        if self.target is not None:
            found["gt"] = encode_annotation(self.target, geometry)
        found["source"] = self.source
        if self.prediction is not None:
            found["image_size"] = list(self.prediction.image_size)
            found["problems"] = [asdict(problem) for problem in self.prediction.problems]
            found["truncated"] = self.truncated
        optional = {name: getattr(self, name) for name in ("resized_size", *_OPTIONAL)}
        found |= {name: value for name, value in optional.items() if value is not None}
        return found | ({"rewards": self.rewards} if self.rewards else {})

    @classmethod
    def from_dict(
        cls, row: Any, location: str = "", folder: Path | None = None
    ) -> PredictionRecord:
        """Return the record of a JSON object.

        Args:
            row: as `to_dict` returns it, a line of the public ``answer.jsonl``, or a record of the
                public wrapper.
            location: file and line that it is from.
            folder: of the file, in and above which the image of a public line is looked for.

        Raises:
            DataError: it is no such object; the message says what is missing or wrong.

        >>> row = {"image_size": [640, 480], "raw_response": "", "gt": {"dog": []}}
        >>> PredictionRecord.from_dict(row).target.absent
        ['dog']
        """
        try:
            if isinstance(row, Mapping) and is_answer(row):
                row = complete_answer(row, folder)
            return _record(row, location)
        except DataError as error:
            raise error.at(location) from error
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            reason = f"this is no prediction record ({type(error).__name__}: {error})"
            raise DataError(reason, location) from error


def read_predictions(file: Path) -> Iterator[PredictionRecord]:
    """Read the records of a JSONL file, one at a time; blank lines are passed over.

    A last line that was not written to its end, because the run was stopped, is left out with a
    warning.

    Args:
        file: ``predictions.jsonl``, ``completions.jsonl``, or the public ``answer.jsonl``.

    Raises:
        DataError: a line is no record; the message names file and line.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            location = f"{file}:{number}"
            try:
                row = parse_json(line.removeprefix(codecs.BOM_UTF8))
            except DataError as error:
                if not line.endswith(b"\n"):
                    logger.warning("%s: the line is incomplete and is skipped", location)
                    return
                reason = f"{error.reason}; correct or remove the line"
                raise DataError(reason, location) from error
            yield PredictionRecord.from_dict(row, location, file.parent)


def to_line(row: Mapping[str, Any]) -> str:
    """Return the line of a JSONL file that holds a row, with its end."""
    return json_text(row) + "\n"


def _record(row: Any, location: str) -> PredictionRecord:
    if not isinstance(row, Mapping):
        raise DataError(f"a prediction record must be a JSON object, got {short(row)}")
    error = _checked(row, "error", str)
    image_size = _size(row, "image_size") if error is None else None
    phrases, rewards = row.get("categories") or [], row.get("rewards") or {}
    if not isinstance(phrases, list) or not all(isinstance(p, str) for p in phrases):
        raise DataError(f"'categories' must be a list of phrases, got {short(phrases)}")
    if not isinstance(rewards, Mapping):
        raise DataError(f"'rewards' must be numbers by name, got {short(rewards)}")
    return PredictionRecord(
        source=str(row.get("source", "")),
        task=str(row.get("task_name", row.get("task", ""))),
        prompt=str(row.get("question", row.get("prompt", ""))),
        phrases=phrases,
        prediction=None if image_size is None else _prediction(row, image_size),
        target=None if image_size is None else _target(row, image_size),
        image_path=_checked(row, "image_path", str),
        dataset=str(row.get("dataset_name", "")),
        resized_size=None if row.get("resized_size") is None else _size(row, "resized_size"),
        truncated=bool(row.get("truncated", False)),
        rewards={str(name): _checked(rewards, name, float) for name in rewards},
        location=location,
        **{name: _checked(row, name, kind) for name, kind in _OPTIONAL.items()},
    )


def _checked(row: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a value of a type, None where there is none; numbers must be finite."""
    value = row.get(name)
    if value is None or (kind is str and isinstance(value, str)):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is not str and is_number and abs(value) < 2**63 and kind(value) == value:
        return kind(value)
    names = {str: "a text", int: "a whole number", float: "a number"}
    raise DataError(f"{name!r} must be {names[kind]}, got {short(value)}")


def _size(row: Mapping[str, Any], name: str) -> ImageSize:
    try:
        width, height = map(int, row[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        got = f"got {short(row[name])}" if name in row else _has(row, (name,))
        raise DataError(f"a record must have its {name!r}, [width, height]; {got}") from error
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise DataError(f"{name!r} must be two numbers of pixels, got {short(row[name])}")
    return width, height


def _prediction(row: Mapping[str, Any], image_size: ImageSize) -> Prediction:
    text = next((row[key] for key in TEXT_KEYS if isinstance(row.get(key), str)), None)
    if text is None:
        keys = " or ".join(map(repr, TEXT_KEYS))
        raise DataError(f"a record must have the model's text as {keys}; {_has(row, TEXT_KEYS)}")
    if row.get("extracted_predictions") is None:
        return read(text, image_size)
    found = decode_annotation(row["extracted_predictions"], image_size)
    return Prediction(
        image_size,
        found.instances,
        found.absent,
        problems=[_problem(problem) for problem in row.get("problems") or ()],
        text=text,
        order=list(row["extracted_predictions"]),
    )


def _problem(entry: Mapping[str, Any]) -> Problem:
    kind, detail = _checked(entry, "kind", str), _checked(entry, "detail", str)
    return Problem(kind or "", _checked(entry, "offset", int) or 0, detail or "")


def _target(row: Mapping[str, Any], image_size: ImageSize) -> Annotation | None:
    key = next((key for key in TARGET_KEYS if row.get(key) is not None), None)
    if key is None:
        return None
    if key == "annotation":
        return read_record(row[key], image_size)
    return decode_annotation(row[key], image_size)


def _has(row: Mapping[str, Any], wanted: tuple[str, ...]) -> str:
    near = next((n for key in row for n in near_misses(str(key), wanted)), None)
    return f"it has {list(row)}" + (f"; did you mean {near!r}?" if near else "")
