"""Small, medium and large, as COCO has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rexkit.geometry import Indices

SIZES = ("small", "medium", "large")
LIMITS = (32**2, 96**2)
"""Square pixels: where medium and large begin."""


def size_of(areas: ArrayLike) -> Indices:
    """The place in ``SIZES`` of each area; one that is no number is small.

    >>> size_of([100, 1024, 9215, 9216]).tolist()
    [0, 1, 1, 2]
    """
    return np.digitize(np.nan_to_num(np.asarray(areas, dtype=np.float64)), LIMITS)
