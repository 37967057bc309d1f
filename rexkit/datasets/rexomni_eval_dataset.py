"""The public evaluation set of Rex-Omni, and results written in its spelling."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.datasets.row_dataset import OnError
from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.rexomni_eval import decode_geometry
from rexkit.registry import DATASETS

Thing = dict[str, Any]


@DATASETS.register_module()
class RexOmniEvalDataset(JsonlDataset):
    """The public Rex-Omni evaluation set: one JSON object a line, an image and its truth.

    Its files are ``_annotations/box_eval/COCO.jsonl``, ``point_eval/…``, ``visual_prompt_eval/…``
    and ``keypoint_eval/…``; their images lie beside ``_annotations``. The ``predictions.jsonl``
    that `rexkit test` writes can be read too. A line has these fields; others are passed over:

    - ``image_path`` or ``image_name``: the image, relative to ``image_dir``
    - ``gt``: the truth, ``{phrase: [item, …]}``; `rexkit.formats.rexomni_eval` lists what an item
      may be: box, point, polygon, mask or keypoints, in pixels. A single box is taken for a list of
      one. An empty list, null or "None" says that the phrase is not in the image. With one
      category, ``gt`` may be a list of items, or one box, without naming it (GUI rows do so)
    - ``gt_mask``: masks in the same form, read in place of ``gt`` where it is there (pointing)
    - ``categories``: what is asked for; left out, the phrases of ``gt``. One that ``gt`` does not
      name is not in the image. They match phrases of ``gt`` whatever the case, spaces and
      punctuation ("traffic_light" is "traffic light"), and then give the phrase its spelling.
      Where only one is asked for and ``gt`` does not name it, the keys of ``gt`` are
      transcriptions (OCR rows ask for "word"): instances of that category with a ``text``
    - ``visual_prompt``: ``{phrase: [box, …]}``, reference boxes. An instance whose box is one of
      them has ``extra["reference"]`` true

    What has only a mask gets its bounding box too, since tasks ask for boxes and points.
    The fields are those that the scripts in evaluation/ of the repository IDEA-Research/Rex-Omni
    read and write.

    Args:
        ann_file: the JSONL file.
        image_dir: the folder that paths are relative to; left out, the folder that holds
            ``_annotations``, or that of ``ann_file`` where it does not lie in such a folder.
        on_error: "raise" or "skip", as `rexkit.datasets.row_dataset.RowDataset` tells.

    Raises:
        FileNotFoundError: ``ann_file`` is missing. Whatever is wrong with a row is a `DataError`
            with file and line when it is read.
    """

    image_keys = ("image_path", "image_name")

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        on_error: OnError = "raise",
    ):
        super().__init__(
            ann_file, _root(Path(ann_file)) if image_dir is None else image_dir, on_error=on_error
        )

    def record(self, fields: Mapping[str, Any]) -> Any:
        return {"instances": _things(fields)}


def _root(ann_file: Path) -> Path:
    above = [parent.parent for parent in ann_file.parents if parent.name == "_annotations"]
    return above[0] if above else ann_file.parent


def _things(fields: Mapping[str, Any]) -> list[Thing]:
    """The things of a record, absent phrases with a null box."""
    truth, categories = _truth(fields)
    spelling = {_letters(category): category for category in categories}
    unknown = [phrase for phrase in truth if _letters(phrase) not in spelling]
    asked_for_text = len(categories) == 1 and len(unknown) == len(truth)
    references = _references(fields)
    things: list[Thing] = []
    for key, items in truth.items():
        phrase = categories[0] if asked_for_text else spelling.get(_letters(key), key)
        text = {"text": key} if asked_for_text else {}
        for number, item in enumerate(items):
            thing = decode_geometry(item, f"gt[{key!r}][{number}]")
            thing = {"phrase": phrase, **text, **_with_box(thing)}
            if thing.get("bbox") in references:
                thing["reference"] = True
            things.append(thing)
    present = {thing["phrase"] for thing in things}
    absent = dict.fromkeys([*categories, *([] if asked_for_text else map(str, truth))])
    known = {_letters(phrase) for phrase in present}
    return things + [{"phrase": p, "bbox": None} for p in absent if _letters(p) not in known]


def _truth(fields: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[str]]:
    """``gt`` as lists by phrase, and the categories."""
    field = "gt_mask" if fields.get("gt_mask") else "gt"
    if field not in fields:
        raise DataError(f"a row must have a 'gt', the truth by phrase; it has {list(fields)}")
    truth, categories = fields[field], fields.get("categories")
    if categories is None:
        categories = list(truth) if isinstance(truth, Mapping) else []
    if not isinstance(categories, list) or not all(isinstance(c, str) for c in categories):
        raise DataError(f"categories must be a list of phrases, got {short(categories)}")
    if isinstance(truth, list) and len(categories) == 1:
        truth = {categories[0]: truth}
    if not isinstance(truth, Mapping):
        hint = f", since there are {len(categories)} categories" if isinstance(truth, list) else ""
        raise DataError(f"{field} must be an object, lists by phrase{hint}; got {short(truth)}")
    return {phrase: _list(items, f"{field}[{phrase!r}]") for phrase, items in truth.items()}, (
        categories
    )


def _list(items: Any, place: str) -> list[Any]:
    if items is None or items == "None":
        return []
    if not isinstance(items, list):
        raise DataError(f"{place} must be a list of boxes, points or the like, got {short(items)}")
    if items and all(isinstance(x, (int, float)) for x in items):
        return [items]
    return [item for item in items if item is not None and item != "None"]


def _references(fields: Mapping[str, Any]) -> Sequence[Any]:
    prompt = fields.get("visual_prompt") or {}
    if not isinstance(prompt, Mapping):
        raise DataError(f"visual_prompt must be an object, boxes by phrase; got {short(prompt)}")
    return [box for p, boxes in prompt.items() for box in _list(boxes, f"visual_prompt[{p!r}]")]


def _with_box(thing: Thing) -> Thing:
    """With the bounding box of its mask, where it has nothing else."""
    mask = thing.get("mask")
    if list(thing) != ["mask"] or not isinstance(mask, Mapping):
        return thing
    if not isinstance(mask.get("counts"), str):
        return thing
    from pycocotools import mask as coco_mask

    try:
        x, y, width, height = coco_mask.toBbox(dict(mask)).tolist()
    except (TypeError, ValueError, IndexError):
        return thing  # what is wrong with it, the record's own checks say
    return {**thing, "bbox": [x, y, x + width, y + height]}


def _letters(phrase: str) -> str:
    """The letters and digits of a phrase, in lower case; all of it where it has none."""
    return "".join(c for c in phrase.casefold() if c.isalnum()) or phrase
