"""How many boxes of each row of a dataset were clamped, and how many outlines were left out."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 3
"""How many rows a report names."""


class RowCounts:
    """A number for every row that was read, such as that of its clamped boxes.

    The numbers lie in memory that forked processes share, two bytes a row, so that those of a data
    loader's workers are counted too. A row that is read again counts once. A pickled copy goes on
    from the numbers so far by itself.

    Args:
        num_rows: of the dataset.
    """

    def __init__(self, num_rows: int):
        self._numbers = _shared(num_rows)

    def set(self, row: int, number: int) -> bool:
        """Set the number of a row; return whether it is the first row with any."""
        number = min(number, np.iinfo(np.uint16).max)
        if self._numbers[row] == number:
            return False
        first = not self._numbers.any()
        self._numbers[row] = number
        return first

    @property
    def total(self) -> int:
        """The sum of all numbers."""
        return int(self._numbers.sum(dtype=np.int64))

    @property
    def rows(self) -> list[int]:
        """The rows that have any, in order."""
        rows: list[int] = np.flatnonzero(self._numbers).tolist()
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {"numbers": np.array(self._numbers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._numbers = _shared(len(state["numbers"]))
        self._numbers[:] = state["numbers"]


def describe_clamped(boxes: int, rows: Sequence[str]) -> str:
    """Return the report of clamped boxes.

    Args:
        boxes: their number.
        rows: the places of the rows that have them.

    >>> describe_clamped(7, [f"train.jsonl:{line}" for line in (3, 5, 6, 9)])
    '7 boxes in 4 rows leave their image and are clamped to it: train.jsonl:3, train.jsonl:5, \
train.jsonl:6, …'
    """
    noun, verb = (
        ("box", "leaves its image and is") if boxes == 1 else ("boxes", "leave their image and are")
    )
    return f"{boxes} {noun} in {_in_rows(rows)} {verb} clamped to it: {places(rows)}"


def describe_left_out(outlines: int, rows: Sequence[str]) -> str:
    """Return the report of outlines that cannot be used; arguments as in `describe_clamped`.

    >>> describe_left_out(1, ["train.json: image 3"])
    '1 outline in 1 row cannot be used and is left out: train.json: image 3'
    """
    noun, verb = ("outline", "is") if outlines == 1 else ("outlines", "are")
    return (
        f"{outlines} {noun} in {_in_rows(rows)} cannot be used and {verb} left out: {places(rows)}"
    )


def places(rows: Sequence[str]) -> str:
    """Return the first few places of some rows."""
    return ", ".join([*rows[:FEW], *(["…"] if len(rows) > FEW else [])])


def _in_rows(rows: Sequence[str]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _shared(num_rows: int) -> NDArray[np.uint16]:
    size = max(1, num_rows)  # an empty map is not allowed
    return np.frombuffer(mmap.mmap(-1, 2 * size), np.uint16)[:num_rows]
