"""LVIS JSON: what its images and categories have beyond COCO's."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.coordinates import short


def is_lvis(path: Path) -> bool:
    """Return whether a COCO JSON file has LVIS's negative categories."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b'"neg_category_ids"') >= 0


def lvis_phrase(category: Mapping[str, Any]) -> str:
    """Return the name of a category with spaces for underscores.

    >>> lvis_phrase({"name": "baby_buggy"})
    'baby buggy'
    """
    return str(category["name"]).replace("_", " ")


def lvis_category_ids(image: Mapping[str, Any], field: str) -> list[int]:
    """Return the category ids in a field of an image.

    Args:
        image: of the file.
        field: "neg_category_ids" or "not_exhaustive_category_ids".

    Raises:
        DataError: the image has no such list, or it holds something else.
    """
    if not isinstance(image.get(field), list):
        raise DataError(f"the image has no list {field!r}, as LVIS has; CocoDataset needs none")
    if strange := [number for number in image[field] if not isinstance(number, (int, str))]:
        raise DataError(f"{field} must be ids of categories, got {short(strange[0])}")
    return list(image[field])
