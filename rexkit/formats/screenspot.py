"""ScreenSpot: JSON lists of instructions, each with the box of the element that it means.

The forms are those of https://github.com/njucckevin/SeeClick (ScreenSpot, and v2 after it), whose
boxes are x y width height, and of https://github.com/likaixin2000/ScreenSpot-Pro-GUI-Grounding,
whose rows have ``img_size`` and boxes of corners.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.coordinates import number_array, short, to_corners
from rexkit.formats.json_lines import JsonStart
from rexkit.formats.json_lists import first_of_json_list
from rexkit.instances import extent
from rexkit.structures import Instance

_OWN = ("img_filename", "bbox", "instruction", "img_size")


def is_screenspot(path: Path) -> bool:
    """Return whether a file is one of ScreenSpot, by its first row."""
    if path.suffix != ".json" or JsonStart.of(path).opening != "[":
        return False
    first = first_of_json_list(path)
    return first is not None and {"img_filename", "instruction"} <= first.keys()


def read_screenspot(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row to an annotation record of one instance, whose phrase is the instruction.

    Other fields, such as ``data_type`` and ``data_source``, are those of the instance.

    Raises:
        DataError: it has no instruction, or its box is none.

    >>> row = {"img_filename": "a.png", "bbox": [5, 6, 10, 20], "instruction": "close"}
    >>> read_screenspot(row)
    {'instances': [{'phrase': 'close', 'bbox': [5.0, 6.0, 15.0, 26.0]}]}
    """
    if not isinstance(row.get("instruction"), str):
        raise DataError(f"instruction must be a text, got {short(row.get('instruction'))}")
    numbers = number_array(row.get("bbox"))
    if numbers is None or numbers.shape != (4,):
        raise DataError(f"bbox must be 4 numbers, got {short(row.get('bbox'))}")
    is_pro = "img_size" in row
    [box] = numbers[None] if is_pro else to_corners(numbers[None].astype(np.float64), "xywh")
    fields = {name: value for name, value in row.items() if name not in _OWN}
    entry = {"phrase": row["instruction"], "bbox": box.tolist(), **fields}
    return {**_size(row), "instances": [entry]}


def to_screenspot(instance: Instance, file_name: str) -> dict[str, Any]:
    """Return the row of an instance in the form of ScreenSpot.

    Args:
        instance: in pixels, with an extent.
        file_name: of the image, relative to the folder of images.
    """
    x0, y0, x1, y1 = extent(instance).tolist()
    extra = {f"{name}_" if name in _OWN else name: v for name, v in instance.extra.items()}
    own = {"img_filename": file_name, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    return {**own, "instruction": instance.phrase, **extra}


def _size(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the width and height that a row of ScreenSpot-Pro states."""
    size = row.get("img_size")
    if size is None:
        return {}
    if not isinstance(size, list) or len(size) != 2:
        raise DataError(f"img_size must be [width, height], got {short(size)}")
    return dict(zip(("width", "height"), size, strict=True))
