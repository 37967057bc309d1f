"""How often a row is drawn: repeat factors of rare categories, caps of frequent ones."""

from __future__ import annotations

import numpy as np

from rexkit.datasets.row_contents import RowContents
from rexkit.structures import Array


def row_factors(
    contents: RowContents,
    repeat_threshold: float | None = None,
    max_per_category: int | None = None,
) -> Array:
    """Return how often a pass has each row.

    The factor of a row is the largest of its categories' factors, so that a row with a rare
    category is never dropped for a frequent one beside it; that of a row without any is 1.

    - A category in a fraction f of the rows has the factor ``sqrt(repeat_threshold / f)`` where
      that is above 1: repeat-factor sampling (A. Gupta, P. Dollár, R. Girshick, "LVIS: A Dataset
      for Large Vocabulary Instance Segmentation", CVPR 2019).
    - A category in more than ``max_per_category`` rows has the factor that leaves so many.

    Args:
        contents: of the rows.
        repeat_threshold: the fraction of rows below which a category is rare; None repeats none.
        max_per_category: the most rows of a category in a pass, in the mean, where no rarer
            category is beside it; None caps none.

    Returns:
        (rows,) 0 or more.
    """
    frequent = contents.rows_per_category
    factors = np.ones(len(frequent))
    seen = frequent > 0
    if repeat_threshold is not None:
        fractions = frequent[seen] / max(1, len(contents))
        factors[seen] = np.maximum(1.0, np.sqrt(repeat_threshold / fractions))
    if max_per_category is not None:
        expected = frequent * factors
        above = expected > max_per_category
        factors[above] = max_per_category / frequent[above]
    found = np.ones(len(contents))
    counts = np.diff(contents.starts)
    has = counts > 0
    if has.any():
        found[has] = np.maximum.reduceat(factors[contents.numbers], contents.starts[:-1][has])
    return found
