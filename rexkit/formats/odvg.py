"""ODVG: JSON Lines of detections and of grounded captions, read and written.

The form is that of https://github.com/longzw1997/Open-GroundingDino (``data_format.md``), with what
mmdetection's Grounding DINO adds: several boxes or phrases of a region, and ``tokens_positive``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.annotation_records import to_record
from rexkit.formats.coordinates import short
from rexkit.formats.json_fields import list_field, object_field, phrases_field
from rexkit.formats.json_lines import JsonStart, parse_json
from rexkit.instances import extent
from rexkit.phrases import normalise_phrase
from rexkit.structures import Annotation, Instance

_BOTH = ("detection", "grounding")


def is_odvg(path: Path) -> bool:
    """Return whether a file is ODVG, by the keys of its first row."""
    keys = JsonStart.of(path).keys
    return "filename" in keys and any(keys.get(name) == "{" for name in _BOTH)


def read_label_map(path: Path) -> dict[str, str]:
    """Read the names of the labels in the instances of a file, by the labels' texts.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is no object of names, nor a list of them.
    """
    try:
        found = parse_json(path.read_bytes())
    except DataError as error:
        raise error.at(str(path)) from error
    names = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise DataError('a label map is {"0": NAME, "1": NAME, …}', str(path))
    return {str(label): name for label, name in names.items()}


def read_odvg(row: Mapping[str, Any], label_map: Mapping[str, str]) -> dict[str, Any]:
    """Convert a row to an annotation record.

    Args:
        row: a parsed line.
        label_map: the name of each label, for instances without ``category``.

    Returns:
        The record. Instances of ``detection`` and regions of ``grounding`` are both instances; a
        region of several boxes is one for each. The caption is ``extra["caption"]``, other fields
        of instances and regions stay as they are. Those in the list ``ignored`` are ``ignore``, and
        ``absent`` and ``extra`` are what `to_odvg` writes.

    Raises:
        DataError: the row has neither part, or something in them cannot be used.
    """
    parts = [name for name in _BOTH if row.get(name) is not None]
    if not parts:
        raise DataError(f"a row of ODVG has {' or '.join(map(repr, _BOTH))}; it has {list(row)}")
    entries: list[dict[str, Any]] = []
    extra = object_field(row, "extra")
    for name in parts:
        part, listed = object_field(row, name), "instances" if name == "detection" else "regions"
        if listed not in part:
            raise DataError(f"{name} must be an object with a list {listed!r}, got {short(part)}")
        if isinstance(part.get("caption"), str):
            extra["caption"] = part["caption"]
        for key in (listed, "ignored"):
            for number, item in enumerate(list_field(part, key, name)):
                place = f"{name}.{key}[{number}]"
                if not isinstance(item, Mapping):
                    raise DataError(f"{place} must be an object, got {short(item)}")
                found = _entries(item, place, label_map)
                entries += [entry | ({"ignore": True} if key != listed else {}) for entry in found]
    entries += [{"phrase": phrase, "bbox": None} for phrase in phrases_field(row, "absent")]
    record = {side: row[side] for side in ("width", "height") if side in row}
    return {**record, "instances": entries, **({"extra": extra} if extra else {})}


def to_odvg(
    annotation: Annotation, file_name: str, labels: Mapping[str, int], grounding: bool = False
) -> dict[str, Any]:
    """Return a row.

    Args:
        annotation: in pixels. Each instance has a box, the one around it where it has none of its
            own; those without extent are left out. Other geometries, texts and fields are there
            too, for readers that know them. Ignored instances are in a list of their own, since
            others would train on them.
        file_name: of the image, relative to the folder of images.
        labels: the label of each phrase.
        grounding: write regions of the caption ``extra["caption"]``.

    >>> cup = Instance("cup", bbox=[5, 5, 9, 9])
    >>> to_odvg(Annotation((64, 48), [cup]), "a.jpg", {"cup": 0})["detection"]
    {'instances': [{'bbox': [5.0, 5.0, 9.0, 9.0], 'label': 0, 'category': 'cup'}]}
    """
    extra = dict(annotation.extra)
    listed: dict[str, list[dict[str, Any]]] = {"kept": [], "ignored": []}
    for instance in annotation.instances:
        box = extent(instance)
        if np.isnan(box).any() or (instance.bbox is None and (box[2:] <= box[:2]).all()):
            continue
        named: dict[str, Any] = {"phrase": instance.phrase}
        if not grounding:
            named = {"label": labels[instance.phrase], "category": instance.phrase}
        fields = {"bbox": box.tolist(), **named, **_other_fields(instance)}
        listed["ignored" if instance.ignore else "kept"].append(fields)
    ignored = {"ignored": listed["ignored"]} if listed["ignored"] else {}
    if grounding:
        caption = extra.pop("caption", "")
        part = {"grounding": {"caption": caption, "regions": listed["kept"], **ignored}}
    else:
        part = {"detection": {"instances": listed["kept"], **ignored}}
    width, height = annotation.image_size
    row: dict[str, Any] = {"filename": file_name, "height": height, "width": width, **part}
    row |= {"absent": [*annotation.absent]} if annotation.absent else {}
    return row | ({"extra": extra} if extra else {})


def _other_fields(instance: Instance) -> dict[str, Any]:
    """Return what an instance has beside its phrase and box, as an annotation record has it."""
    [entry] = next(iter(to_record(Annotation((1, 1), [instance])).values()))
    return {
        f"{name}_" if name in ("label", "category") else name: value
        for name, value in entry.items()
        if name not in ("phrase", "bbox", "ignore")
    }


def _entries(
    item: Mapping[str, Any], place: str, label_map: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    own = ("bbox", "label", "category", "phrase")
    fields = {name: value for name, value in item.items() if name not in own}
    phrase, boxes = _phrase(item, place, label_map), item.get("bbox")
    if boxes is None:
        raise DataError(f"{place} has no bbox")
    several = isinstance(boxes, list) and all(isinstance(box, list) for box in boxes)
    for box in boxes if several else [boxes]:
        yield {"phrase": phrase, "bbox": box, **fields}


def _phrase(item: Mapping[str, Any], place: str, label_map: Mapping[str, str]) -> str:
    phrase = item.get("phrase", item.get("category"))
    if isinstance(phrase, list) and all(isinstance(part, str) for part in phrase):
        phrase = " ".join(phrase)  # parts of the caption that are not next to each other
    label = item.get("label")
    name = None if label is None else label_map.get(str(label))
    if phrase is None and name is None:
        known = f"label_map has {short(dict(label_map))}" if label_map else "set label_map"
        raise DataError(f"{place} has the label {short(label)} and no category; {known}")
    if phrase is not None and not isinstance(phrase, str):
        raise DataError(f"{place}: its phrase must be a string, got {short(phrase)}")
    if phrase and name and normalise_phrase(phrase) != normalise_phrase(name):
        raise DataError(
            f"{place} is of the category {phrase!r}, and label_map says that its label "
            f"{short(label)} is {name!r}; is it the label map of another file?"
        )
    return phrase or name or ""
