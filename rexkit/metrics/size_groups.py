"""Size groups of COCO: small, medium and large."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rexkit.geometry import Indices

SIZES = ("small", "medium", "large")
LIMITS = (32**2, 96**2)
"""The least areas of medium and large, in square pixels."""


def size_of(areas: ArrayLike) -> Indices:
    """Return the index in ``SIZES`` of each area.

    Args:
        areas: (N,) in square pixels; NaN counts as small.

    Returns:
        (N,) indices.

    >>> size_of([100, 1024, 9215, 9216]).tolist()
    [0, 1, 1, 2]
    """
    return np.digitize(np.nan_to_num(np.asarray(areas, dtype=np.float64)), LIMITS)
