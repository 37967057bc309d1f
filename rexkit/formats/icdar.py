"""Text files of the Robust Reading Competition: a quadrilateral and a transcription a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rexkit.errors import DataError

_COORDINATES = 8


class IcdarText(NamedTuple):
    """One text in an image.

    Attributes:
        line: its line in the file, from 1.
        polygon: four corners in pixels, x y x y … (8 numbers).
        transcription: all of the line after the corners, commas and quotes included.
    """

    line: int
    polygon: list[float]
    transcription: str


def read_icdar(path: Path) -> Iterator[IcdarText]:
    """Read the texts of a file: UTF-8, with or without a byte order mark.

    Args:
        path: such as ``gt_img_1.txt``.

    Raises:
        DataError: the file cannot be read, or a line is not as the format says.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read_line(line, number)


def sort_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in names as numbers: img_2 before img_10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _read_line(line: str, number: int) -> IcdarText:
    *corners, text = line.strip("\r").split(",", _COORDINATES)
    try:
        polygon = [float(x) for x in corners]
    except ValueError:
        polygon = []
    if len(polygon) != _COORDINATES:
        raise DataError(
            f"line {number} must be x1,y1,x2,y2,x3,y3,x4,y4,transcription, got {line[:80]!r}"
        )
    return IcdarText(number, polygon, text.strip())
