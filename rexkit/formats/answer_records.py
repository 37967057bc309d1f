"""Lines of ``answer.jsonl``, which the public Rex-Omni evaluation writes, as prediction records.

Such a line has ``image_path``, ``extracted_predictions``, ``gt``, ``question``, ``dataset_name``,
``raw_response`` and, but for visual prompts, ``task_name``
(``evaluation/inference_text_prompt.py`` and ``inference_visual_prompt.py`` of the repository
IDEA-Research/Rex-Omni). What a record of rexkit has besides is found as follows:

- the image size: the coordinates are bin / 999 · size and the response has the bins, so they tell
  it; else the header of the image file, else the masks of the ground truth
- the categories: from the question; where its words do not name the phrases of ``gt``, those
- the image file: ``image_path`` in the current folder, that of ``answer.jsonl``, or one above it
- problems and truncation: from the response. That of a visual prompt with several categories is
  the last one's only, and then there are none
- OCR: the keys of ``extracted_predictions`` are transcriptions, which become the texts
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.images import stored_size
from rexkit.formats.phrase_geometries import decode_annotation, decode_geometry, encode_annotation
from rexkit.formats.rexomni_eval import read_entries
from rexkit.grammar import read
from rexkit.phrases import normalise_phrase
from rexkit.structures import Array, ImageSize, Instance

ANSWERS = "answer*.jsonl"
"""The files of the public evaluation; its scripts add a range of lines to the name."""

_BINS = 999
_QUESTIONS = (
    r"Detect (?P<asked>.+)\. Output the bounding box coordinates in .+",
    r"Point to (?P<asked>.+)\.",
    r"Can you detect all (?:the )?(?P<asked>.+) in this image in .+ and then recognize them\?",
    r"Detect all (?P<asked>.+) and recognize them\.",
)


def is_answer(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a line of ``answer.jsonl`` rather than a record of rexkit."""
    return (
        "image_size" not in row
        and isinstance(row.get("image_path"), str)
        and isinstance(row.get("raw_response"), str)
        and isinstance(row.get("extracted_predictions"), Mapping)
    )


def complete_answer(row: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return the prediction record of a line, as `rexkit.formats.predictions` describes it.

    Args:
        row: a row for which `is_answer` is true.
        folder: of the file, where the search for the image begins.

    Raises:
        DataError: the size of the image is unknown, or the ground truth cannot be used.

    >>> cup = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><333><999><|box_end|>"
    >>> row = {"image_path": "a.jpg", "raw_response": cup, "question": "Point to cup, dog."}
    >>> row |= {"extracted_predictions": {"cup": [[0, 0, 20, 40]]}, "gt": {"cup": []}}
    >>> record = complete_answer(row)
    >>> record["image_size"], record["categories"], record["gt"]
    ([60, 40], ['cup', 'dog'], {'cup': [], 'dog': []})
    """
    text, question = row["raw_response"], str(row.get("question", ""))
    file = _find_image(row["image_path"], folder)
    size = _implied_size(row) or _file_size(file) or _mask_size(row.get("gt"))
    if size is None:
        raise DataError(
            f"the size of {row['image_path']} is unknown: the line has neither image_size nor "
            "coordinates, and there is no such image in the current folder, that of the file, or "
            "one above it; run the command where image_path leads to the images"
        )
    record = {**row, "image_size": list(size), "source": row["image_path"]}
    if file is not None:
        record["image_path"] = str(file)
    record.setdefault(
        "task_name", "visual_prompting" if question.startswith("Given reference boxes") else ""
    )
    record["categories"] = _categories(row, question)
    if row.get("gt") is not None:
        entries = read_entries({"gt": row["gt"], "categories": record["categories"]})
        target = read_record({"instances": entries}, size, clamped=[])
        record["gt"] = encode_annotation(target, None)
    if "recognize them" in question:
        record["extracted_predictions"] = {
            phrase: [{**decode_geometry(item, phrase), "text": phrase} for item in items]
            for phrase, items in row["extracted_predictions"].items()
        }
    several = len(row["extracted_predictions"]) > 1 and "Given reference boxes" in question
    problems = [] if several else read(text, size).problems
    record["problems"] = [asdict(problem) for problem in problems]
    record["truncated"] = any(problem.kind == "truncated" for problem in problems)
    return record


def _categories(row: Mapping[str, Any], question: str) -> list[str]:
    """Return what a question asks for."""
    if isinstance(row.get("categories"), list):
        return list(row["categories"])
    target = row.get("gt")
    if isinstance(target, Mapping):
        target = target.get("gt_mask", target)
    named = list(map(str, target)) if isinstance(target, Mapping) else []
    match = next(filter(None, (re.fullmatch(q, question, re.I | re.S) for q in _QUESTIONS)), None)
    if match is None:
        return named or list(map(str, row["extracted_predictions"]))
    asked = [phrase.strip() for phrase in match["asked"].split(", ")]
    known = {normalise_phrase(phrase) for phrase in asked}
    if all(normalise_phrase(phrase) in known for phrase in named):
        # A list without names is of one phrase, whatever commas it has.
        return asked if named or not isinstance(target, list) else [match["asked"]]
    # Phrases with a comma cannot be told apart; OCR asks for words, and gt has what they say.
    return [match["asked"]] if "recognize them" in question else named


def _implied_size(row: Mapping[str, Any]) -> ImageSize | None:
    """Return the image size by which the bins of a response became its coordinates."""
    found = decode_annotation(row["extracted_predictions"], (1, 1)).instances
    bins = read(row["raw_response"], (_BINS, _BINS)).instances
    largest: list[tuple[Array, Array]] = []
    for phrase in dict.fromkeys(instance.phrase for instance in found):
        pixels, numbers = (
            [_corners(i) for i in side if i.phrase == phrase] for side in (found, bins)
        )
        if len(pixels) == len(numbers):
            largest.append((np.concatenate(pixels).max(axis=0), np.concatenate(numbers).max(0)))
    if not largest:
        return None
    pixel, number = (np.array([pair[side] for pair in largest]) for side in (0, 1))
    sides = []
    for axis in range(2):
        known = number[:, axis] > 0
        implied = pixel[known, axis] / number[known, axis] * _BINS
        if not len(implied) or (abs(implied - implied.round()) > 1e-3).any():
            return None
        if len(set(implied.round().tolist())) > 1:
            return None
        sides.append(int(implied[0].round()))
    return (sides[0], sides[1]) if min(sides) > 0 else None


def _corners(instance: Instance) -> Array:
    """Return the points of a prediction's geometry, (N, 2)."""
    for values in (instance.bbox, instance.polygon, instance.point):
        if values is not None:
            return values.reshape(-1, 2)
    return np.zeros((1, 2))


def _find_image(path: str, folder: Path | None) -> Path | None:
    places = [Path()] if folder is None else [Path(), folder, *folder.resolve().parents]
    return next((file for place in places if (file := place / path).is_file()), None)


def _file_size(file: Path | None) -> ImageSize | None:
    """Return the size of an image as it is stored: the public scripts do not rotate it."""
    if file is None:
        return None
    try:
        return stored_size(file)
    except DataError:
        return None


def _mask_size(target: Any) -> ImageSize | None:
    if isinstance(target, Mapping):
        if isinstance(target.get("size"), list) and "counts" in target:
            height, width = target["size"]
            return int(width), int(height)
        target = list(target.values())
    found = map(_mask_size, target) if isinstance(target, list) else ()
    return next(filter(None, found), None)
