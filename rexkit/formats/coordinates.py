"""Coordinates of files: many checked at once, the first bad one named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rexkit.errors import DataError
from rexkit.structures import Array, ImageSize

BoxFormat = Literal["xyxy", "xywh"]

OnOutside = Literal["clamp", "raise"]
"""What becomes of a box that leaves its image: it is clamped to the image, or is an error."""

ROUNDING = 1.0
"""How far outside the image a coordinate may be, in pixels, since labelling tools round."""

# What boxes of one format look like when they are read as the other.
_INVERTED = {
    "xyxy": "ends before it begins; if it is x y width height, set box_format='xywh'",
    "xywh": "has a negative width or height",
}
_OUTSIDE_HINT = {"xyxy": "", "xywh": "; if it is x0 y0 x1 y1, set box_format='xyxy'"}


def read_boxes(
    values: Sequence[Any],
    locations: Sequence[str],
    image_size: ImageSize,
    box_format: BoxFormat,
    clamped: list[str] | None = None,
) -> list[Array | None]:
    """Return boxes: (4,) xyxy in pixels for each value, None for None.

    Args:
        values: of the file, one for each box.
        locations: where each value is in its file, for messages.
        image_size: (width, height) of the image.
        box_format: what the four numbers mean.
        clamped: where a sentence is added for each box that reaches more than `ROUNDING` pixels
            out of the image and was clamped to it; None makes such a box an error.

    Raises:
        DataError: the first that is not four numbers, not finite, inverted, or outside the image
            altogether; or more than `ROUNDING` pixels outside, without ``clamped``.

    >>> clamped: list[str] = []
    >>> read_boxes([[5, 5, 12, 8]], ["boxes[0]"], (10, 10), "xyxy", clamped)
    [array([ 5.,  5., 10.,  8.])]
    >>> clamped
    ['boxes[0]: bbox [5, 5, 12, 8] leaves the image of 10x10']
    """
    return _read_rows("bbox", 4, values, locations, image_size, box_format, clamped)


def read_points(
    values: Sequence[Any], locations: Sequence[str], image_size: ImageSize
) -> list[Array | None]:
    """Return points: (2,) in pixels for each value, None for None; otherwise as `read_boxes`."""
    return _read_rows("point", 2, values, locations, image_size, "xyxy")


def read_polygon(value: Any, location: str, image_size: ImageSize) -> Array:
    """Return a polygon of three points or more, from a flat list or from pairs: (N, 2)."""
    array = _numbers(value)
    if array is not None and array.ndim == 1 and array.size % 2 == 0:
        array = array.reshape(-1, 2)
    if array is None or array.ndim != 2 or array.shape[1] != 2 or len(array) < 3:
        raise _error(location, "polygon", value, "must be x y x y … with three points or more")
    if not np.isfinite(array).all():
        raise _error(location, "polygon", value, "holds a number that is not finite")
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
    clamped: list[str] | None = None,
) -> list[Array | None]:
    given = [i for i, value in enumerate(values) if value is not None]
    rows: list[Array | None] = [None] * len(values)
    if not given:
        return rows

    def require(good: Any, complaint: str) -> None:
        if not good.all():
            bad = given[int(np.argmin(good))]
            raise _error(locations[bad], name, values[bad], complaint)

    table = _numbers([values[i] for i in given])
    if table is None or table.shape != (len(given), width):
        shapes = [None if row is None else row.shape for row in map(_numbers, values)]
        require(np.array([shapes[i] == (width,) for i in given]), f"must be {width} numbers")
    assert table is not None  # rows that fit one by one fit together
    require(np.isfinite(table).all(axis=1), "holds a number that is not finite")
    if width == 4:
        if box_format == "xywh":
            table[:, 2:] += table[:, :2]
        require((table[:, :2] <= table[:, 2:]).all(axis=1), _INVERTED[box_format])
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


def _numbers(value: Any) -> Array | None:
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
