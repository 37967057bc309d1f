"""How many boxes of each row of a dataset were clamped to the image."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 3
"""How many rows a report names."""


class ClampedBoxes:
    """The number of clamped boxes of every row that was read.

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
        """The number of boxes."""
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
    places = ", ".join([*rows[:FEW], *(["…"] if len(rows) > FEW else [])])
    noun, verb = (
        ("box", "leaves its image and is") if boxes == 1 else ("boxes", "leave their image and are")
    )
    where = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    return f"{boxes} {noun} in {where} {verb} clamped to it: {places}"


def _shared(num_rows: int) -> NDArray[np.uint16]:
    size = max(1, num_rows)  # an empty map is not allowed
    return np.frombuffer(mmap.mmap(-1, 2 * size), np.uint16)[:num_rows]
