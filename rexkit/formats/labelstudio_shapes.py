"""Shapes of Label Studio's results, in percent of the image's sides, read and written.

The forms are those of the tags of images at https://labelstud.io/tags, and of the editor's source
for bit masks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.brush_runs import OPAQUE, decode_brush, encode_brush
from rexkit.formats.coordinates import number_array, short
from rexkit.formats.images import decode_numbers
from rexkit.geometry import ellipse_corners, polygon_bounds, rotated_box_corners
from rexkit.instances import extent, has_outline, own_box
from rexkit.run_lengths import Mask, decode_mask, encode_mask
from rexkit.structures import Array, ImageSize, Instance

_AROUND = {"bbox_around_outline": True}


def shape_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a result's value that are a shape; none where there is no shape.

    >>> shape_of({"x": 1, "y": 2, "width": 0.5, "keypointlabels": ["nose"]})
    {'x': 1, 'y': 2}
    """
    for names in (
        ("rle",),
        ("imageDataURL",),
        ("points", "closed"),
        ("x", "y", "radiusX", "radiusY", "rotation"),
        ("x", "y", "width", "height", "rotation"),
        ("x", "y"),
    ):
        needed = [name for name in names if name not in ("closed", "rotation")]
        if all(name in value for name in needed):
            return {name: value[name] for name in names if name in value}
    return {}


def read_shape(shape: dict[str, Any], size: ImageSize, place: str) -> dict[str, Any]:
    """Return the geometry of a shape, as fields of an annotation record in pixels.

    Args:
        shape: as `shape_of` returns it.
        size: (width, height) of the image in pixels.
        place: where it is, for messages.

    Raises:
        DataError: it cannot be used.
    """
    scale = np.array(size) / 100
    if "rle" in shape or "imageDataURL" in shape:
        pixels = (_brush if "rle" in shape else _bit_mask)(shape, size, place)
        return {"mask": encode_mask(pixels)} | _AROUND
    if "points" in shape:
        points = number_array(shape["points"])
        if points is None or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            what = "must be three pairs of numbers or more"
            raise DataError(f"{place}: points {what}, got {short(shape['points'])}")
        if shape.get("closed") is False:
            raise DataError(f"{place} is an open polygon; close it in Label Studio")
        return {"polygon": (points * scale).tolist()} | _AROUND
    numbers = number_array([*shape.values()])
    if numbers is None or not np.isfinite(numbers).all():
        raise DataError(f"{place}: its value must be numbers, got {short(shape)}")
    at, turn = numbers[:2] * scale, float(numbers[-1]) if "rotation" in shape else 0.0
    if len(needed := [name for name in shape if name != "rotation"]) == 2:
        return {"point": at.tolist()}
    sides = numbers[2:4] * scale
    if "radiusX" in needed:
        corners = np.clip(ellipse_corners(at, sides, turn), 0, size)
        return {"polygon": corners.tolist(), "shape": "ellipse"} | _AROUND
    if turn % 360 == 0:
        return {"bbox": [*at.tolist(), *(at + sides).tolist()]}
    # A rectangle is turned around its first corner.
    half = rotated_box_corners([0, 0, *sides], turn)
    corners = half - half[0] + at
    return {"polygon": corners.tolist(), "bbox": polygon_bounds(corners).tolist()}


def _brush(shape: Mapping[str, Any], size: ImageSize, place: str) -> Mask:
    try:
        return decode_brush(shape["rle"], size)
    except DataError as error:
        raise DataError(f"{place}: {error.reason}") from error


def _bit_mask(shape: Mapping[str, Any], size: ImageSize, place: str) -> Mask:
    """Return the pixels of a PNG that are not transparent, as the editor draws them."""
    data = embedded_image(str(shape["imageDataURL"]))
    if data is None:
        raise DataError(f"{place}: imageDataURL is no image in base64")
    try:
        numbers = decode_numbers(data)
    except DataError as error:
        raise DataError(f"{place}: {error.reason}") from error
    if numbers.ndim != 3 or numbers.shape[2] != 4 or numbers.shape[:2] != size[::-1]:
        raise DataError(f"{place}: its bit mask must be RGBA of {size[0]}x{size[1]} pixels")
    return np.asarray(numbers[:, :, 3] >= OPAQUE)


def embedded_image(reference: str) -> bytes | None:
    """Return the image that is in a text itself (``data:image/png;base64,…``), or None.

    Raises:
        DataError: it is no base64.
    """
    if not reference.startswith("data:"):
        return None
    try:
        return base64.b64decode(reference.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"the image is bad base64 ({error})") from error


def shape_results(
    instance: Instance, image_size: ImageSize
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the type, label and value of each shape of an instance, the outermost first.

    Args:
        instance: in pixels. A box that is the one around the outline is left out, since readers
            take it for granted; one is added around keypoints that have no region.
        image_size: (width, height) of the image.
    """
    label, box = instance.phrase, own_box(instance)
    named = {name: xy for name, xy in (instance.keypoints or {}).items() if xy is not None}
    if box is None and not has_outline(instance) and named:
        box = extent(instance)
    shapes: list[tuple[str, str, dict[str, Any]]] = []
    percent = 100 / np.array(image_size)
    if box is not None:
        x, y, right, bottom = (box.reshape(2, 2) * percent).ravel().tolist()
        value = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0}
        shapes.append(("rectanglelabels", label, value))
    if instance.polygon is not None:
        points = (instance.polygon * percent).tolist()
        shapes.append(("polygonlabels", label, {"points": points, "closed": True}))
    if instance.mask is not None:
        runs = encode_brush(decode_mask(instance.mask))
        shapes.append(("brushlabels", label, {"format": "rle", "rle": runs}))
    points_of = [(label, instance.point)] if instance.point is not None else []
    for name, xy in [*points_of, *named.items()]:
        shapes.append(("keypointlabels", name, _point(xy * percent)))
    return shapes


def _point(percent: Array) -> dict[str, Any]:
    x, y = percent.tolist()
    return {"x": x, "y": y}
