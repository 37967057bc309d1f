"""Whether the coordinates of a dataset are pixels, or shares of the image's size.

Files with coordinates from 0 to 1, or to 1,000, are read as pixels without any error: the boxes of
the former are all in the top left corner, and those of the latter are cut at the edges of small
images.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.formats.annotation_records import LISTS
from rexkit.formats.coordinates import BoxFormat, number_array, to_corners
from rexkit.structures import Array, ImageSize

_LEVELS = 7
_LEAVES, _HIGH, _LARGE, _BEYOND = (8 << bit for bit in range(4))
"""What is known of a row: three bits for how likely thousandths leave its image, then these."""

_MARGIN = 1.1
"""Coordinates that leave their image by less are common in pixels, too."""

_RATE = 0.6
"""The share of the rows to be expected that must leave their image: objects keep to the middle."""

_LEAST_LARGE, _LARGE_ROWS = 1200, 40
"""How many images of so many pixels show that no coordinate is above 1,000."""


class CoordinateRange:
    """What the coordinates of the rows read so far say about their range.

    Coordinates that all lie between 0 and 1 are an error of their row. Those up to 1,000 are one of
    the dataset, where none is above 1,000, and either as many rows leave their image by a tenth as
    thousandths would (60 % of the number to be expected, for objects anywhere in the image), or 40
    images of 1,200 pixels or more, in width or height, have coordinates up to 1,000 only.

    What is known of each row, one byte, lies in memory that forked processes share.

    Args:
        num_rows: of the dataset.
    """

    def __init__(self, num_rows: int):
        self._rows = _shared(num_rows)

    def see(self, row: int, record: Any, image_size: ImageSize, box_format: BoxFormat) -> bool:
        """Take note of a row; return whether it is one of those that speak for thousandths.

        Raises:
            DataError: all its coordinates lie between 0 and 1.
        """
        corners, raw, has_area = _points(record, box_format)
        if not raw.size or not corners.size:
            return False
        inside_1 = raw.min() >= -0.01 and 0 < raw.max() <= 1.01 and min(image_size) > 4
        if inside_1 and (has_area or (raw % 1).any()):
            raise DataError(
                "all coordinates lie between 0 and 1: they seem to be shares of the image's width "
                "and height; set coordinates='0-1', or 'pixels' if they are pixels"
            )
        high, side = corners.max(), max(image_size)
        width, height = (min(1.0, _MARGIN * size / 1000) for size in image_size)
        flags = round(_LEVELS * (1 - width * height))
        leaves = bool((corners > np.multiply(image_size, _MARGIN)).any())
        flags |= _LEAVES * leaves | _BEYOND * bool(high > 1001) | _LARGE * (side >= _LEAST_LARGE)
        flags |= _HIGH * bool(high > (950 if side >= _LEAST_LARGE else 500))
        self._rows[row] = flags
        return leaves or (side >= _LEAST_LARGE and high > 950)

    def check(self) -> None:
        """Check whether the rows so far are thousandths.

        Raises:
            DataError: they seem to be.
        """
        if (self._rows & _BEYOND).any():
            return
        high, leaves, large = (self._rows & bit != 0 for bit in (_HIGH, _LEAVES, _LARGE))
        leaving, expected = int((high & leaves).sum()), (self._rows & _LEVELS).sum() / _LEVELS
        # One row that leaves its image may well be the first that is read.
        least = max(1, min(3, int(_RATE * len(self._rows))))
        if expected > 0.4 and leaving >= max(least, _RATE * expected):
            what = f"{leaving} rows have coordinates far outside their image"
        elif large.sum() >= _LARGE_ROWS and (high & large).any():
            what = f"{int(large.sum())} images are {_LEAST_LARGE} pixels or more wide or high"
        else:
            return
        raise DataError(
            f"{what}, and no coordinate is above 1000: they seem to be thousandths of the image's "
            "width and height; set coordinates='0-1000' (or '0-999'), or 'pixels' if they are "
            "pixels"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"rows": np.array(self._rows)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._rows = _shared(len(state["rows"]))
        self._rows[:] = state["rows"]


def _points(record: Any, box_format: BoxFormat) -> tuple[Array, Array, bool]:
    """Collect the points and the corners of boxes, (N, 2), of a record.

    Returns:
        Them, all numbers as they are in the record, and whether a box is more than a point or line.
    """
    boxes: dict[BoxFormat, list[Any]] = {box_format: [], "xyxy": []}
    points: list[Any] = []
    outlines: list[Any] = []
    for entry in _entries(record):
        boxes[box_format].append(entry.get("bbox"))
        boxes["xyxy"].append(entry.get("bbox_xyxy"))
        keypoints = entry.get("keypoints")
        points += [entry.get("point")]
        points += keypoints.values() if isinstance(keypoints, Mapping) else ()
        outlines.append(entry.get("polygon"))
        segmentation = entry.get("segmentation")
        outlines += segmentation if isinstance(segmentation, list) else ()
    tables = {form: _table(values, 4) for form, values in boxes.items()}
    raw = [*tables.values(), _table(points, 2)]
    raw += [_table([outline], None) for outline in outlines if outline is not None]
    corners = [to_corners(table, form) for form, table in tables.items()] + raw[len(tables) :]
    has_area = any((table[:, 2:] > 0).all(axis=1).any() for table in tables.values())
    flat = [table.reshape(-1, 2) for table in corners if table.size % 2 == 0]
    return np.concatenate(flat), np.concatenate([table.ravel() for table in raw]), has_area


def _entries(record: Any) -> Iterator[Mapping[str, Any]]:
    for name in LISTS:
        entries = record.get(name) if isinstance(record, Mapping) else None
        yield from (
            (e for e in entries if isinstance(e, Mapping)) if isinstance(entries, list) else ()
        )


def _table(values: list[Any], width: int | None) -> Array:
    """Return the finite numbers of values, a row each; those of another length are left out.

    What is wrong with them is said when they are read.
    """
    values = [value for value in values if value is not None]
    table = number_array(values) if values else None
    whole = table is not None and table.ndim == 2 and np.isfinite(table).all()
    if table is not None and whole and width in (None, table.shape[1]):
        return table
    good = [number_array(value) for value in values]
    kept = [row for row in good if row is not None and row.size and np.isfinite(row).all()]
    if width is None:
        return kept[0] if kept else np.empty((0, 2))
    return np.array([row for row in kept if row.shape == (width,)]).reshape(-1, width)


def _shared(num_rows: int) -> NDArray[np.uint8]:
    size = max(1, num_rows)  # an empty map is not allowed
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)[:num_rows]
