"""Which row of a source is drawn at which place, pass after pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rexkit.mixing.permutation import Permutation


class RowOrder:
    """The rows of a source, in the order in which examples are made of them.

    Without factors, a pass has every row once. With factors, a row is in a pass as often as its
    factor says, rounded up or down at random: places lie evenly over the sum of the factors, from a
    random start (systematic sampling, W. G. Madow 1949), so that the mean over many passes is the
    factor, and every pass has the same length.

    A place costs one look-up, whatever was asked for before.

    Args:
        rows: number of rows.
        factors: (rows,) how often a pass has each row, 0 or more; None is once.
        seed: of the order.
        shuffled: whether a pass has the rows in random order; otherwise in theirs.

    Attributes:
        length: places of a pass.

    >>> [RowOrder(3, shuffled=False).row(place) for place in range(5)]
    [0, 1, 2, 0, 1]
    """

    def __init__(
        self,
        rows: int,
        factors: NDArray[np.float64] | None = None,
        seed: Sequence[int] = (),
        shuffled: bool = True,
    ):
        self._ends = None if factors is None or not rows else np.cumsum(factors)
        self.length = rows if self._ends is None else max(1, round(float(self._ends[-1])))
        self._seed, self._shuffled = tuple(seed), shuffled

    def row(self, place: int, attempt: int = 0) -> int:
        """Return the row at a place.

        Args:
            place: counts through all passes.
            attempt: how many places further in the same pass to look, for a row that takes the
                place of one that cannot be used.
        """
        number, within = divmod(place, self.length)
        within = (within + attempt) % self.length
        if self._shuffled:
            within = _permutation(self.length, (*self._seed, number))[within]
        if self._ends is None:
            return within
        step = float(self._ends[-1]) / self.length
        at = (within + _start((*self._seed, number, 1))) * step
        return min(int(np.searchsorted(self._ends, at, side="right")), len(self._ends) - 1)


@lru_cache(maxsize=256)
def _permutation(size: int, seed: tuple[int, ...]) -> Permutation:
    return Permutation(size, seed)


@lru_cache(maxsize=256)
def _start(seed: tuple[int, ...]) -> float:
    return float(np.random.default_rng(seed).random())
