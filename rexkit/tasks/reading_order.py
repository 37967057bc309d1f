"""The reading order of text boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rexkit.geometry import Indices


def reading_order(boxes: ArrayLike) -> Indices:
    """Return the indices of boxes in reading order: by line, and in a line from left to right.

    A line starts with the remaining box whose centre is highest, and contains the boxes beside it:
    the vertical centre of each is between top and bottom of the other, and they overlap
    horizontally by at most half of the narrower one. So a large title does not absorb the two
    lines beside it, nor a slanted line the next. Columns are not separated. The result does not
    depend on the order of the boxes.

    Args:
        boxes: (N, 4) xyxy.

    Returns:
        (N,).

    >>> reading_order([[0, 20, 9, 30], [50, 2, 60, 12], [0, 0, 40, 10]]).tolist()
    [2, 1, 0]
    """
    xyxy = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    x0, y0, x1, y1 = xyxy.T
    middle = (y0 + y1) / 2
    inside = (y0 <= middle[:, None]) & (middle[:, None] <= y1)
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    apart = across <= np.minimum((x1 - x0)[:, None], x1 - x0) / 2
    beside = (inside & inside.T & apart) | np.eye(len(xyxy), dtype=np.bool_)
    from_left = np.lexsort((x1, y1, y0, x0))
    from_top = from_left[np.argsort(middle[from_left], kind="stable")]
    left = np.ones(len(xyxy), dtype=np.bool_)
    lines = [np.empty(0, dtype=np.int64)]
    for first in from_top:
        if left[first]:
            line = from_left[(beside[first] & left)[from_left]]
            left[line] = False
            lines.append(line)
    return np.concatenate(lines)
