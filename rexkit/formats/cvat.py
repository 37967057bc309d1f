"""CVAT for images 1.1: the XML element of an image, read and written.

The form is that of https://docs.cvat.ai/docs/other/xml_format, with what CVAT's own exporter adds
(https://github.com/cvat-ai/cvat, ``dataset_manager/formats/cvat.py``): ellipses, masks, skeletons
and ``subset``. `rexkit.formats.cvat_files` finds the images in a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET  # to build XML; what is read is parsed by defusedxml

import numpy as np

from rexkit.errors import DataError, UserError
from rexkit.formats.annotation_records import GEOMETRIES
from rexkit.formats.cvat_shapes import (
    KEYPOINTS,
    WITHOUT_AREA,
    add_elements,
    read_number,
    read_shapes,
    shape_parts,
)
from rexkit.formats.voc import legal_xml, parse_xml
from rexkit.instances import HIDDEN_KEYPOINTS
from rexkit.structures import Annotation, Instance

ABSENT, IMAGE = "absent", "image"
"""Labels of tags that rexkit writes: for a phrase that is not there, and for fields of an image."""

_RESERVED = {*GEOMETRIES, "phrase", "caption", "label", "rotation", "bbox_around_outline"}
_IGNORED = ("ignore", "difficult", "is_crowd", "iscrowd")
_TRUE = (True, "True", "yes", "Yes")
_PARTS = ("bbox", "polygon", "mask", "point", "keypoints")


def read_cvat_image(data: bytes) -> dict[str, Any]:
    """Convert the element of an image to an annotation record.

    Args:
        data: the XML of ``<image>``.

    Returns:
        The record. A rotated box and an ellipse are polygons; of several points each is an
        instance; a skeleton has keypoints, those that are ``outside`` without a place. Shapes of
        one label in a group are parts of one object, unless they are several boxes. Attributes are
        fields, but for "text", "score" and "ignore" (or "difficult", "is_crowd"). Tags are in
        ``extra["tags"]``. `WITHOUT_AREA` are left out.

    Raises:
        DataError: a shape cannot be used, or is of a kind that is not known.
    """
    image = parse_xml(data, "image")
    size = (int(read_number(image, "width", "image")), int(read_number(image, "height", "image")))
    shapes: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    absent: list[str] = []
    for number, element in enumerate(image):
        place = f"<{element.tag}> {number + 1}"
        label = element.get("label")
        if label is None:
            raise DataError(f"{place} has no label")
        if element.tag == "tag":
            fields = _attributes(element)
            if label == ABSENT and "phrase" in fields:
                absent.append(_raw(element, "phrase"))
            elif label == IMAGE:
                extra |= fields
            else:
                extra.setdefault("tags", []).append({"label": label, **fields} if fields else label)
        elif element.tag not in WITHOUT_AREA:
            entry = _fields(element, label)
            shapes += [entry | shape for shape in read_shapes(element, size, place)]
    record: dict[str, Any] = {"instances": _joined(shapes)}
    record["instances"] += [{"phrase": name, "bbox": None} for name in absent]
    record |= dict(zip(("width", "height"), size, strict=True))
    return record | ({"extra": extra} if extra else {})


def to_cvat_image(
    annotation: Annotation, number: int, name: str, subset: str = "", source: str = "manual"
) -> ET.Element:
    """Return the element of an image.

    Args:
        annotation: in pixels. An instance of several geometries is a group of shapes. Texts,
            scores, ``ignore`` and other fields are attributes, lists and objects as JSON; absent
            phrases and fields of the image are tags.
        number: of the image.
        name: of its file.
        subset: what a project has for a split; "" for none.
        source: "manual", or "auto" for shapes of a model; the field ``source`` of an instance goes
            before.

    Raises:
        UserError: XML cannot hold the name.
    """
    if legal_xml(name) != name:
        raise UserError(f"XML cannot hold the file name {name!r}; rename it, or use another format")
    width, height = annotation.image_size
    own = {"id": str(number), "name": name} | ({"subset": subset} if subset else {})
    image = ET.Element("image", {**own, "width": str(width), "height": str(height)})
    given = [g for i in annotation.instances if type(g := i.extra.get("group_id")) is int]
    group = max(given, default=0)
    for instance in annotation.instances:
        parts = shape_parts(instance)
        group += len(parts) > 1
        for part, (tag, label, places) in enumerate(parts):
            fields = {"label": legal_xml(label), "source": source, "occluded": "0", **places}
            fields |= {"z_order": "0", **_own_fields(instance.extra)}
            shape = ET.SubElement(image, tag, fields)
            if len(parts) > 1:
                shape.set("group_id", str(group))
            if tag == "skeleton":
                add_elements(shape, instance)
            if part == 0:
                _add_attributes(shape, attributes_of(instance))
    extra = dict(annotation.extra)
    for found in extra.pop("tags", []):
        tag_fields = dict(found) if isinstance(found, Mapping) else {"label": found}
        _add_tag(image, str(tag_fields.pop("label", "")), tag_fields)
    for phrase in annotation.absent:
        _add_tag(image, ABSENT, {"phrase": phrase})
    if extra:
        _add_tag(image, IMAGE, extra)
    return image


def attributes_of(instance: Instance) -> dict[str, Any]:
    """Return what of an instance is written as attributes of its first shape."""
    own = {"id", HIDDEN_KEYPOINTS, *_own_fields(instance.extra)}
    named = {"text": instance.text, "score": instance.score, "ignore": instance.ignore or None}
    fields = {k: v for k, v in instance.extra.items() if k not in own}
    return fields | {name: value for name, value in named.items() if value is not None}


def _own_fields(extra: Mapping[str, Any]) -> dict[str, str]:
    """Return those fields of an instance that CVAT's shapes have themselves."""
    found: dict[str, str] = {}
    if (occluded := extra.get("occluded")) in (0, 1):
        found["occluded"] = str(int(occluded))
    if isinstance(extra.get("source"), str):
        found["source"] = legal_xml(extra["source"])
    for name in ("z_order", "group_id"):
        if type(extra.get(name)) is int:
            found[name] = str(extra[name])
    return found


def _add_tag(image: ET.Element, label: str, fields: Mapping[str, Any]) -> None:
    tag = ET.SubElement(image, "tag", {"label": legal_xml(label), "source": "manual"})
    _add_attributes(tag, fields)


def _add_attributes(element: ET.Element, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        child = ET.SubElement(element, "attribute", {"name": legal_xml(name)})
        child.text = legal_xml(value if isinstance(value, str) else json.dumps(value))


def _fields(element: ET.Element, label: str) -> dict[str, Any]:
    """Return the fields of a shape but for its geometry."""
    entry: dict[str, Any] = {"phrase": label}
    for name, value in _attributes(element).items():
        entry[f"{name}_" if name in _RESERVED else name] = value
    ignored = any(entry.get(name) in _TRUE for name in _IGNORED)
    entry |= {"ignore": ignored} if ignored or "ignore" in entry else {}
    if "text" in entry:
        entry["text"] = _raw(element, "text")
    if "score" in entry and not _is_share(entry["score"]):
        entry["score_"] = entry.pop("score")  # an attribute of that name, of another meaning
    if "score" in element.attrib and "score" not in entry:
        entry["score"] = read_number(element, "score", f"<{element.tag}>")
    for name, usual in (
        ("occluded", "0"),
        ("source", "manual"),
        ("z_order", "0"),
        ("group_id", "0"),
    ):
        value = element.get(name, usual)
        if value != usual:
            entry[name] = _plain(value)
    return entry


def _attributes(element: ET.Element) -> dict[str, Any]:
    return {a.get("name", ""): _plain(a.text or "") for a in element.iterfind("attribute")}


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _raw(element: ET.Element, name: str) -> str:
    return element.findtext(f"attribute[@name='{name}']") or ""


def _plain(text: str) -> Any:
    """Return the value that a text is as JSON, where JSON writes it so; else the text."""
    if text in ("NaN", "Infinity", "-Infinity"):  # read by Python, and no JSON
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) or json.dumps(value) != text else value


def _joined(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the shapes of a group and label that are parts of one object."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        label = entry["phrase"]
        if "keypoints" in entry:
            label = label.removesuffix(KEYPOINTS)
        group = entry.get("group_id")
        groups.setdefault(number if group is None else (str(group), label), []).append(entry)
    return [entry for key, members in groups.items() for entry in _join(members, key)]


def _join(members: list[dict[str, Any]], key: Any) -> list[dict[str, Any]]:
    counts = Counter(kind for member in members for kind in _PARTS if kind in member)
    several = {kind for kind, number in counts.items() if number > 1}
    if len(members) == 1 or several - {"polygon"}:
        return members
    first: dict[str, Any] = {"phrase": key[1]}
    for member in members:
        first = {**member, **first}
    if "polygon" in several:
        del first["polygon"]
        first["segmentation"] = [np.ravel(m["polygon"]).tolist() for m in members if "polygon" in m]
    del first["group_id"]
    return [first]
