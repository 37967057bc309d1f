"""Coordinates of files: many checked at once, the first bad one named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rexkit.errors import DataError
from rexkit.structures import Array, ImageSize

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]
"""The four numbers of a box: two corners; a corner, width and height; or the centre and these."""

Coordinates = Literal["pixels", "0-1", "0-100", "0-999", "0-1000"]
"""What coordinates are: pixels, or numbers up to the one that stands for the image's width, in x,
or height, in y."""

OnOutside = Literal["clamp", "raise"]
"""What becomes of a box that leaves its image: it is clamped to the image, or is an error."""

ROUNDING = 1.0
"""How far outside the image a coordinate may be, in pixels, since labelling tools round."""

# What boxes of one format look like when they are read as the other.
_INVERTED = {
    "xyxy": "ends before it begins; if it is x y width height, set box_format='xywh'",
    "xywh": "has a negative width or height",
    "cxcywh": "has a negative width or height",
}
_OUTSIDE_HINT = {"xyxy": "", "xywh": "; if it is x0 y0 x1 y1, set box_format='xyxy'", "cxcywh": ""}
_NO_SCALE = (1.0, 1.0)


def coordinate_scale(coordinates: Coordinates, image_size: ImageSize) -> tuple[float, float]:
    """Return the pixels for each unit of x and of y.

    >>> coordinate_scale("0-1000", (640, 480))
    (0.64, 0.48)
    """
    if coordinates == "pixels":
        return _NO_SCALE
    most = float(coordinates.partition("-")[2])
    return image_size[0] / most, image_size[1] / most


def to_corners(boxes: Array, box_format: BoxFormat) -> Array:
    """Return boxes as x0 y0 x1 y1.

    Args:
        boxes: (N, 4).
        box_format: what their numbers are.
    """
    if box_format == "xyxy":
        return boxes
    first, size = boxes[:, :2], boxes[:, 2:]
    if box_format == "cxcywh":
        first = first - size / 2
    return np.concatenate([first, first + size], axis=1)


def read_boxes(
    values: Sequence[Any],
    locations: Sequence[str],
    image_size: ImageSize,
    box_format: BoxFormat,
    clamped: list[str] | None = None,
    scale: tuple[float, float] = _NO_SCALE,
) -> list[Array | None]:
    """Return boxes: (4,) xyxy in pixels for each value, None for None.

    Args:
        values: of the file, one for each box.
        locations: where each value is in its file, for messages.
        image_size: (width, height) of the image.
        box_format: what the four numbers mean.
        clamped: where a sentence is added for each box that reaches more than `ROUNDING` pixels
            out of the image and was clamped to it; None makes such a box an error.
        scale: the pixels for each unit of x and of y.

    Raises:
        DataError: the first that is not four numbers, not finite, inverted, or outside the image
            altogether; or more than `ROUNDING` pixels outside, without ``clamped``.

    >>> clamped: list[str] = []
    >>> read_boxes([[5, 5, 12, 8]], ["boxes[0]"], (10, 10), "xyxy", clamped)
    [array([ 5.,  5., 10.,  8.])]
    >>> clamped
    ['boxes[0]: bbox [5, 5, 12, 8] leaves the image of 10x10']
    """
    return _read_rows("bbox", 4, values, locations, image_size, box_format, clamped, scale)


def read_points(
    values: Sequence[Any],
    locations: Sequence[str],
    image_size: ImageSize,
    scale: tuple[float, float] = _NO_SCALE,
) -> list[Array | None]:
    """Return points: (2,) in pixels for each value, None for None; otherwise as `read_boxes`."""
    return _read_rows("point", 2, values, locations, image_size, "xyxy", None, scale)


def read_polygon(
    value: Any, location: str, image_size: ImageSize, scale: tuple[float, float] = _NO_SCALE
) -> Array:
    """Return a polygon of three points or more, from a flat list or from pairs: (N, 2)."""
    array = number_array(value)
    if array is not None and array.ndim == 1 and array.size % 2 == 0:
        array = array.reshape(-1, 2)
    if array is None or array.ndim != 2 or array.shape[1] != 2 or len(array) < 3:
        raise _error(location, "polygon", value, "must be x y x y … with three points or more")
    if not np.isfinite(array).all():
        raise _error(location, "polygon", value, "holds a number that is not finite")
    array = array * scale
    if not _inside(array, image_size).all():
        raise _error(location, "polygon", value, _outside(image_size))
    return _moved_in(array, image_size)


def _read_rows(
    name: str,
    width: int,
    values: Sequence[Any],
    locations: Sequence[str],
    image_size: ImageSize,
    box_format: BoxFormat,
    clamped: list[str] | None,
    scale: tuple[float, float],
) -> list[Array | None]:
    given = [i for i, value in enumerate(values) if value is not None]
    rows: list[Array | None] = [None] * len(values)
    if not given:
        return rows

    def require(good: Any, complaint: str) -> None:
        if not good.all():
            bad = given[int(np.argmin(good))]
            raise _error(locations[bad], name, values[bad], complaint)

    table = number_array([values[i] for i in given])
    if table is None or table.shape != (len(given), width):
        shapes = [None if row is None else row.shape for row in map(number_array, values)]
        hint = "; write a rotated box as a polygon, its corners" if {(5,), (8,)} & {*shapes} else ""
        good = np.array([shapes[i] == (width,) for i in given])
        require(good, f"must be {width} numbers{hint}")
    assert table is not None  # rows that fit one by one fit together
    require(np.isfinite(table).all(axis=1), "holds a number that is not finite")
    if width == 4:
        table = to_corners(table, box_format)
        require((table[:, :2] <= table[:, 2:]).all(axis=1), _INVERTED[box_format])
    table = table * np.resize(scale, width)
    moved, inside = _moved_in(table, image_size), _inside(table, image_size)
    usable = inside
    if clamped is not None:
        usable = inside | (moved[:, :2] < moved[:, 2:]).all(axis=1)  # something is left of it
    require(usable, _outside(image_size) + _OUTSIDE_HINT[box_format])
    for i, row in zip(given, moved, strict=True):
        rows[i] = row
    if clamped is not None:
        for i in np.flatnonzero(~inside).tolist():
            where = f"leaves the image of {image_size[0]}x{image_size[1]}"
            clamped.append(f"{locations[given[i]]}: {name} {short(values[given[i]])} {where}")
    return rows


def number_array(value: Any) -> Array | None:
    """Return an array, or None where a value is not made of numbers in rows of one length.

    The types are checked first: numpy would make an array of strings as long as the longest.
    """
    if not isinstance(value, (list, tuple, np.ndarray)):
        return None
    rows = [value] if all(map(_is_number, value)) else value
    for row in rows:
        if not isinstance(row, (list, tuple, np.ndarray)) or not all(map(_is_number, row)):
            return None
    if len({len(row) for row in rows}) > 1:
        return None
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:  # a whole number beyond floats
        table = np.array([[_as_float(x) for x in row] for row in rows])
        return table[0] if rows is not value else table


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def _inside(table: Array, image_size: ImageSize) -> Any:
    limits = np.resize(image_size, table.shape[1])
    return ((table >= -ROUNDING) & (table <= limits + ROUNDING)).all(axis=1)


def _moved_in(table: Array, image_size: ImageSize) -> Array:
    return np.clip(table, 0.0, np.resize(image_size, table.shape[1]))


def _outside(image_size: ImageSize) -> str:
    return f"lies outside the image of {image_size[0]}x{image_size[1]}"


def _error(location: str, name: str, value: Any, complaint: str) -> DataError:
    return DataError(f"{location}: {name} {short(value)} {complaint}")


def short(value: Any) -> str:
    """Return a value as a message shows it, at most 80 characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # too deep, or a whole number of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"
