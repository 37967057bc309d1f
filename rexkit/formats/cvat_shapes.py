"""Shapes of CVAT for images 1.1, in pixels, read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET  # to build XML; what is read is parsed by defusedxml

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.voc import legal_xml
from rexkit.geometry import ellipse_corners, polygon_bounds, rotated_box_corners
from rexkit.instances import HIDDEN_KEYPOINTS, keypoint_visibility, own_box
from rexkit.keypoints import known_names
from rexkit.run_lengths import decode_mask, encode_placed_mask
from rexkit.structures import Array, ImageSize, Instance

WITHOUT_AREA = ("polyline", "cuboid")
"""Shapes that no instance has; data sets leave them out and count them."""

KEYPOINTS = " keypoints"
"""The end of the label of a skeleton that belongs to a box: a label of CVAT has one type."""

_AROUND = {"bbox_around_outline": True}


def read_shapes(element: ET.Element, size: ImageSize, place: str) -> list[dict[str, Any]]:
    """Return the geometry of a shape, as fields of an annotation record; several for points.

    Args:
        element: of the shape.
        size: (width, height) of the image.
        place: where it is, for messages.

    Raises:
        DataError: it cannot be used, or is of a kind that is not known.
    """
    kind = element.tag
    if kind == "box":
        x0, y0, x1, y1 = (
            read_number(element, name, place) for name in ("xtl", "ytl", "xbr", "ybr")
        )
        turn = read_number(element, "rotation", place, 0.0)
        if turn % 360 == 0:
            return [{"bbox": [x0, y0, x1, y1]}]
        corners = rotated_box_corners([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], turn)
        return [{"polygon": corners.tolist(), "bbox": polygon_bounds(corners).tolist()}]
    if kind == "polygon":
        return [{"polygon": _pairs(element, place), **_AROUND}]
    if kind == "points":
        return [{"point": xy} for xy in _pairs(element, place)]
    if kind == "ellipse":
        cx, cy, rx, ry = (read_number(element, name, place) for name in ("cx", "cy", "rx", "ry"))
        turn = read_number(element, "rotation", place, 0.0)
        corners = np.clip(ellipse_corners([cx, cy], [rx, ry], turn), 0, size)
        return [{"polygon": corners.tolist(), "shape": "ellipse", **_AROUND}]
    if kind == "mask":
        return [{"mask": _read_mask(element, size, place), **_AROUND}]
    if kind == "skeleton":
        return [_read_elements(element, place)]
    raise DataError(f"{place} is of a kind that is not known")


def _read_mask(element: ET.Element, size: ImageSize, place: str) -> dict[str, Any]:
    names = ("left", "top", "width", "height")
    left, top, width, height = (int(read_number(element, name, place)) for name in names)
    try:
        lengths = np.array([int(n) for n in (element.get("rle") or "").split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: rle must be whole numbers") from error
    inside = 0 <= left < left + width <= size[0] and 0 <= top < top + height <= size[1]
    covers = (
        (lengths >= 0) & (lengths <= width * height)
    ).all() and lengths.sum() == width * height
    if not inside or not covers:
        raise DataError(
            f"{place}: its mask of {width}x{height} at {left}, {top} leaves the image of "
            f"{size[0]}x{size[1]}, or its rle does not cover it"
        )
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
    return encode_placed_mask(pixels, (left, top), size)


def _read_elements(skeleton: ET.Element, place: str) -> dict[str, Any]:
    hidden: list[str] = []
    keypoints: dict[str, list[float] | None] = {}
    for element in skeleton:
        if element.tag == "attribute":
            continue
        name = element.get("label")
        if element.tag != "points" or name is None or name in keypoints:
            raise DataError(f"{place}: elements must be points with a label of their own")
        outside = element.get("outside") == "1"
        keypoints[name] = None if outside else _pairs(element, place)[0]
        if element.get("occluded") == "1" and not outside:
            hidden.append(name)
    names = known_names(keypoints)
    found: dict[str, Any] = {"keypoints": {names[name]: xy for name, xy in keypoints.items()}}
    return found | ({HIDDEN_KEYPOINTS: [names[name] for name in hidden]} if hidden else {})


def shape_parts(instance: Instance) -> list[tuple[str, str, dict[str, str]]]:
    """Return the tag, label and places of each shape of an instance.

    The box around an outline is left out: readers take it for granted.
    """
    label, box = instance.phrase, own_box(instance)
    parts: list[tuple[str, str, dict[str, str]]] = []
    if box is not None:
        places = zip(("xtl", "ytl", "xbr", "ybr"), box.tolist(), strict=True)
        parts.append(("box", label, {name: _text(value) for name, value in places}))
    if instance.polygon is not None:
        parts.append(("polygon", label, {"points": _points(instance.polygon)}))
    if instance.mask is not None:
        parts.append(("mask", label, _mask(instance.mask)))
    if instance.point is not None:
        parts.append(("points", label, {"points": _points(instance.point[None])}))
    if instance.keypoints:
        parts.append(("skeleton", label + KEYPOINTS if parts else label, {}))
    return parts


def _mask(mask: Mapping[str, Any]) -> dict[str, str]:
    """Return run lengths of the rows of the part that a mask is in, the first of zeros."""
    pixels = decode_mask(mask)
    rows, columns = np.nonzero(pixels)
    if not rows.size:
        rows = columns = np.zeros(1, dtype=int)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    flat = pixels[top:bottom, left:right].ravel().astype(np.int8)
    ends = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    lengths = np.diff([0, *ends, flat.size]).tolist()
    corner = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, lengths)), **{k: str(v) for k, v in corner.items()}}


def add_elements(skeleton: ET.Element, instance: Instance) -> None:
    """Add the points of a skeleton; those without a place are ``outside``, hidden ``occluded``."""
    visibility = keypoint_visibility(instance)
    for name, xy in (instance.keypoints or {}).items():
        fields = {"label": legal_xml(name), "source": "manual", "outside": str(int(xy is None))}
        fields["occluded"] = str(int(visibility[name] == 1))
        place = np.zeros(2) if xy is None else xy
        ET.SubElement(skeleton, "points", {**fields, "points": _points(place[None])})


def _pairs(element: ET.Element, place: str) -> list[list[float]]:
    text = element.get("points") or ""
    try:
        pairs = [[float(n) for n in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{place}: points must be x,y;x,y;…, got {short(text)}")
    return pairs


def read_number(element: ET.Element, name: str, place: str, default: float | None = None) -> float:
    """Return the number that a field of an element is.

    Raises:
        DataError: it is none, not finite, or missing without a default.
    """
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{place}: {name} must be a number, got {short(text)}")
    return number


def _points(xy: Array) -> str:
    return ";".join(f"{_text(x)},{_text(y)}" for x, y in xy.tolist())


def _text(value: float) -> str:
    return f"{value:.10g}"
