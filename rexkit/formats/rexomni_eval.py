"""Rows of the public Rex-Omni evaluation set: JSON Lines with the ground truth by phrase.

A row has these fields; others are passed over:

- ``image_path`` or ``image_name``: the image
- ``gt``: the ground truth, ``{phrase: [geometry, …]}`` (`rexkit.formats.phrase_geometries`): boxes,
  points, polygons, masks or keypoints, in pixels. A single box is taken for a list of one. An empty
  list, null or "None" says that the phrase is not in the image; where ``gt`` itself is empty or
  null, none of the categories is. With one category, ``gt`` may be a
  list of geometries, or one box, without naming it (GUI rows do so)
- ``gt_mask``: masks in the same form, read in place of ``gt`` where it is there (pointing). It is
  a field of the row, or of ``gt``: ``{"gt": {"gt_mask": {phrase: [mask, …]}}}``
- ``categories``: what is asked for; left out, the phrases of ``gt``. One that ``gt`` does not name
  is not in the image. They match phrases of ``gt`` whatever the case, spaces and punctuation
  ("traffic_light" is "traffic light"), and then give the phrase its spelling. Where only one is
  asked for and ``gt`` does not name it, the keys of ``gt`` are transcriptions (OCR rows ask for
  "word"): instances of that category with a ``text``
- ``visual_prompt``: ``{phrase: [box, …]}``, reference boxes. An instance whose box is one of them
  has ``extra["reference"]`` true. Each phrase is a question of its own
- ``task_name``, ``dataset_name``: by which the public scripts choose and print metrics

``Annotation.extra`` keeps what tests and `rexkit.metrics.RexOmniF1` need of it: ``gt`` as it is in
the row, ``categories`` in their order, ``visual_prompt``, ``task_name``, ``dataset_name`` and
``image_path``.

An instance that has only a mask gets its bounding box too, since tasks ask for boxes and points.
The fields are those that the scripts in evaluation/ of the repository IDEA-Research/Rex-Omni read
and write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.phrase_geometries import decode_geometry
from rexkit.phrases import normalise_phrase
from rexkit.run_lengths import mask_box


def read_entries(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert a row to entries of an annotation record.

    Args:
        fields: of the row.

    Returns:
        An entry for each instance, and one with a null box for each absent phrase.

    Raises:
        DataError: the row is not as the format says.

    >>> read_entries({"gt": {"cup": [[1, 2, 30, 40]]}, "categories": ["cup", "dog"]})
    [{'bbox': [1, 2, 30, 40], 'phrase': 'cup'}, {'phrase': 'dog', 'bbox': None}]
    """
    target, categories = _read_target(fields)
    spelling = {normalise_phrase(category): category for category in categories}
    spelled = {
        key: key if key in categories else spelling.get(normalise_phrase(key), key)
        for key in target
    }
    unknown = [phrase for phrase in target if normalise_phrase(phrase) not in spelling]
    asked_for_text = len(categories) == 1 and len(unknown) == len(target)
    references = _references(fields)
    entries: list[dict[str, Any]] = []
    for key, items in target.items():
        phrase = categories[0] if asked_for_text else spelled[key]
        text = {"text": key} if asked_for_text else {}
        for number, item in enumerate(items):
            entry = decode_geometry(item, f"gt[{key!r}][{number}]")
            entry = {**text, **_with_box(entry), "phrase": phrase}
            if entry.get("bbox") in references:
                entry["reference"] = True
            entries.append(entry)
    present = {entry["phrase"] for entry in entries}
    named = [] if asked_for_text else spelled.values()
    known = {normalise_phrase(phrase) for phrase in present}
    absent = [
        phrase
        for phrase in dict.fromkeys([*categories, *named])
        if phrase not in present and (phrase in categories or normalise_phrase(phrase) not in known)
    ]
    return entries + [{"phrase": phrase, "bbox": None} for phrase in absent]


def read_extra(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Annotation.extra` keeps of a row.

    Args:
        fields: of the row, which `read_entries` can read.

    >>> read_extra({"gt": {"gt_mask": {"cup": []}}, "categories": ["cup"], "task_name": "pointing"})
    {'gt': {'cup': []}, 'categories': ['cup'], 'task_name': 'pointing'}
    """
    kept = ("categories", "visual_prompt", "task_name", "dataset_name")
    own = {name: fields[name] for name in kept if fields.get(name)}
    path = fields.get("image_path", fields.get("image_name"))
    return {"gt": _find_target(fields)[1], **own, **({"image_path": path} if path else {})}


def _read_target(fields: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[str]]:
    """``gt`` as lists by phrase, and the categories."""
    field, target = _find_target(fields)
    categories = fields.get("categories")
    if categories is None:
        categories = list(target) if isinstance(target, Mapping) else []
    if not isinstance(categories, list) or not all(isinstance(c, str) for c in categories):
        raise DataError(f"categories must be a list of phrases, got {short(categories)}")
    if isinstance(target, list) and len(categories) == 1:
        target = {categories[0]: target}
    if not isinstance(target, Mapping):
        hint = f", since there are {len(categories)} categories" if isinstance(target, list) else ""
        raise DataError(f"{field} must be an object, lists by phrase{hint}; got {short(target)}")
    return {phrase: _list(items, f"{field}[{phrase!r}]") for phrase, items in target.items()}, (
        categories
    )


def _find_target(fields: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the name and the value of the field with the ground truth."""
    if fields.get("gt_mask"):
        return "gt_mask", fields["gt_mask"]
    if "gt" not in fields:
        raise DataError(
            f"a row must have a 'gt', the ground truth by phrase; it has {list(fields)}"
        )
    target = fields["gt"] or {}
    if isinstance(target, Mapping) and "gt_mask" in target:
        return "gt['gt_mask']", target["gt_mask"] or {}
    return "gt", target


def _list(items: Any, location: str) -> list[Any]:
    if items is None or items == "None":
        return []
    if not isinstance(items, list):
        raise DataError(
            f"{location} must be a list of boxes, points or the like, got {short(items)}"
        )
    if items and all(isinstance(x, (int, float)) for x in items):
        return [items]
    return [item for item in items if item is not None and item != "None"]


def _references(fields: Mapping[str, Any]) -> Sequence[Any]:
    prompt = fields.get("visual_prompt") or {}
    if not isinstance(prompt, Mapping):
        raise DataError(f"visual_prompt must be an object, boxes by phrase; got {short(prompt)}")
    return [box for p, boxes in prompt.items() for box in _list(boxes, f"visual_prompt[{p!r}]")]


def _with_box(entry: dict[str, Any]) -> dict[str, Any]:
    """Add the bounding box of an entry's mask, where it has nothing else."""
    if list(entry) != ["mask"]:
        return entry
    # The record's own checks say what is wrong with a mask.
    with suppress(DataError):
        return {**entry, "bbox": mask_box(entry["mask"]).tolist()}
    return entry
