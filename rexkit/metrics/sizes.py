"""Small, medium and large, as COCO has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rexkit.geometry import Indices
from rexkit.structures import Array, Instance

SIZES = ("small", "medium", "large")
LIMITS = (32**2, 96**2)
"""Square pixels: where medium and large begin."""


def area(instance: Instance, box: Array) -> float:
    """Square pixels: ``extra["area"]`` where the data set gives a number, else those of the box.

    COCO's files give the area of the outline.

    >>> area(Instance("cup", extra={"area": 50}), np.array([0.0, 0, 10, 10]))
    50.0
    """
    known = instance.extra.get("area")
    return float(known if isinstance(known, (int, float)) else (box[2:] - box[:2]).prod())


def size_of(areas: ArrayLike) -> Indices:
    """The place in ``SIZES`` of each area; one that is no number is small.

    >>> size_of([100, 1024, 9215, 9216]).tolist()
    [0, 1, 1, 2]
    """
    return np.digitize(np.nan_to_num(np.asarray(areas, dtype=np.float64)), LIMITS)
