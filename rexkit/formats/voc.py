"""Pascal VOC: an XML file for each image.

The form is that of http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html, with the
additions of later tools: ``polygon`` (Roboflow) and ``robndbox`` (roLabelImg).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # to build XML; what is read is parsed by defusedxml

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.geometry import rotated_box_corners
from rexkit.instances import HIDDEN_KEYPOINTS, extent
from rexkit.structures import Annotation, Instance

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold."""
_OWN = ("name", "bndbox", "robndbox", "polygon", "difficult")


def parse_xml(data: bytes, root: str | None = None) -> ET.Element:
    """Return the root of an XML document.

    Args:
        data: the document.
        root: the name that its root must have, if any.

    Raises:
        DataError: it is not XML, declares entities, or has another root.
    """
    try:
        found: ET.Element = ElementTree.fromstring(data, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise DataError(f"this is not usable XML ({error})") from error
    if root is not None and found.tag != root:
        raise DataError(f"the root of the XML must be <{root}>, it is <{short(found.tag)[1:-1]}>")
    return found


def legal_xml(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _ILLEGAL.sub("", text)


def read_voc(data: bytes, one_based: bool = False) -> tuple[dict[str, Any], str]:
    """Convert a file to an annotation record.

    Args:
        data: of the file.
        one_based: whether the first pixel is 1 and ``xmax``, ``ymax`` are the last pixel of the
            object, as in the data sets of the VOC challenge; labelling tools count from 0.

    Returns:
        The record and the file name of the image. ``difficult`` is ``ignore`` too; other fields
        are as in the file, of parts too.

    Raises:
        DataError: it is no such XML.
    """
    root = parse_xml(data, "annotation")
    entries = []
    for number, item in enumerate(root.iterfind("object")):
        place = f"object {number + 1}"
        name = item.findtext("name")
        if name is None:
            raise DataError(f"{place} has no <name>")
        entry = {"phrase": name.strip(), **_fields(item), **_geometry(item, place, one_based)}
        if (item.findtext("difficult") or "0").strip() not in ("0", ""):
            entry |= {"ignore": True, "difficult": 1}
        entries.append(entry)
    record: dict[str, Any] = {"instances": entries}
    size = root.find("size")
    if size is not None:
        sides = {side: int(_number(size, side, "size")) for side in ("width", "height")}
        record |= sides if all(sides.values()) else {}  # some tools write 0
    return record, (root.findtext("filename") or "").strip()


def to_voc(annotation: Annotation, file_name: str, depth: int = 3) -> str:
    """Return the XML of an annotation, coordinates counted from 0.

    Args:
        annotation: in pixels. Instances without extent are left out; a polygon is written beside
            the box around it, as Roboflow does. ``ignore`` is ``difficult``. Fields for
            which `is_voc_field` holds are written as they are.
        file_name: of the image.
        depth: the number of its channels.
    """
    root = ET.Element("annotation")
    folder, _, name = file_name.rpartition("/")
    _add(root, "folder", folder)
    _add(root, "filename", name)
    size = _add(root, "size")
    for side, value in zip(("width", "height"), annotation.image_size, strict=True):
        _add(size, side, value)
    _add(size, "depth", depth)
    _add(root, "segmented", 0)
    for instance in annotation.instances:
        box = extent(instance)
        if not np.isnan(box).any() and (instance.bbox is not None or (box[2:] > box[:2]).all()):
            _add_object(root, instance, box.tolist())
    ET.indent(root, "\t")
    return ET.tostring(root, encoding="unicode") + "\n"


def is_voc_field(name: str, value: Any) -> bool:
    """Return whether a file has a place for a field: text, a number, an object, a list of such.

    A list of one item is not told from the item, so that it counts as no field.

    >>> is_voc_field("pose", "Left"), is_voc_field("tags", ["a", "b"]), is_voc_field("tags", ["a"])
    (True, True, False)
    """
    return name not in (*_OWN, HIDDEN_KEYPOINTS) and _is_field(name, value)


def _is_field(name: str, value: Any) -> bool:
    if isinstance(value, list):
        is_flat = not any(isinstance(item, list) for item in value)
        return len(value) > 1 and is_flat and all(_is_field(name, item) for item in value)
    if isinstance(value, Mapping):
        return bool(value) and all(_is_field(key, item) for key, item in value.items())
    return name.isidentifier() and isinstance(value, str | int | float)


def _add_field(parent: ET.Element, name: str, value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            child = _add(parent, name)
            for key, part in item.items():
                _add_field(child, key, part)
        else:
            _add(parent, name, item)


def _add_object(root: ET.Element, instance: Instance, box: list[float]) -> None:
    item = _add(root, "object")
    _add(item, "name", instance.phrase)
    fields: Mapping[str, Any] = {"pose": "Unspecified", "truncated": 0, **instance.extra}
    for name, value in fields.items():
        if is_voc_field(name, value):
            _add_field(item, name, value)
    _add(item, "difficult", int(instance.ignore))
    bndbox = _add(item, "bndbox")
    for corner, value in zip(_CORNERS, box, strict=True):
        _add(bndbox, corner, f"{value:.10g}")
    if instance.polygon is not None:
        polygon = _add(item, "polygon")
        for number, (x, y) in enumerate(instance.polygon.tolist(), 1):
            _add(polygon, f"x{number}", f"{x:.10g}")
            _add(polygon, f"y{number}", f"{y:.10g}")


def _add(parent: ET.Element, name: str, text: Any = None) -> ET.Element:
    child = ET.SubElement(parent, name)
    child.text = None if text is None else legal_xml(str(text))
    return child


def _geometry(item: ET.Element, place: str, one_based: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    first = 1.0 if one_based else 0.0
    polygon = item.find("polygon")
    if polygon is not None and len(polygon) >= 6:
        pairs = range(1, len(polygon) // 2 + 1)
        xy = [(_number(polygon, f"x{n}", place), _number(polygon, f"y{n}", place)) for n in pairs]
        found |= {"polygon": [[x - first, y - first] for x, y in xy], "bbox_around_outline": True}
    box, turned = item.find("bndbox"), item.find("robndbox")
    if box is not None:
        corners = [_number(box, corner, place) for corner in _CORNERS]
        found["bbox"] = [corners[0] - first, corners[1] - first, *corners[2:]]
    elif turned is not None:
        names = ("cx", "cy", "w", "h", "angle")
        cx, cy, w, h, angle = (_number(turned, name, place) for name in names)
        outline = rotated_box_corners([cx - first, cy - first, w, h], float(np.degrees(angle)))
        found |= {"polygon": outline.tolist(), "bbox_around_outline": True, "angle": angle}
    if not found:
        raise DataError(f"{place} has neither <bndbox> nor <polygon> nor <robndbox>")
    return found


def _fields(item: ET.Element, own: tuple[str, ...] = _OWN) -> dict[str, Any]:
    """Other fields of an object: numbers and text, and objects such as parts and actions."""
    fields: dict[str, list[Any]] = {}
    for child in item:
        if child.tag not in own:
            value = _fields(child, ()) if len(child) else _plain(child.text)
            fields.setdefault(child.tag, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def _plain(text: str | None) -> str | int | float:
    text = (text or "").strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(parent: ET.Element, name: str, place: str) -> float:
    text = parent.findtext(name)
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"{place}: <{name}> must be a number, got {short(text)}") from None


def voc_image(xml: Path, file_name: str, image_dir: Path, suffixes: frozenset[str]) -> Path:
    """Return the image of an XML file.

    Args:
        xml: the file.
        file_name: that it names; where there is no such image, one of the name of the XML file.
        image_dir: the folder of the images.
        suffixes: of images.
    """
    named = image_dir / file_name
    if file_name and named.is_file():
        return named
    alike = (image_dir / f"{xml.stem}{suffix}" for suffix in sorted(suffixes))
    return next((path for path in alike if path.is_file()), named)
