"""The order of the instances of a phrase from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.grammar.bins import to_bins
from rexkit.grammar.writer import Geometry
from rexkit.structures import ImageSize, Instance


def sort_from_left(
    instances: Sequence[Instance], geometry: Geometry, image_size: ImageSize
) -> list[Instance]:
    """Return instances in the order of their left bins; those with equal ones, of their top bins.

    The published responses of the Rex-Omni weights list boxes and points in this order.

    Args:
        instances: in any order.
        geometry: what their place is read from; instances without it come last.
        image_size: (width, height) in pixels.

    >>> from rexkit.structures import Instance
    >>> cups = [Instance("cup", point=[60, 5]), Instance("cup", point=[20, 9])]
    >>> [cup.point.tolist() for cup in sort_from_left(cups, "point", (100, 100))]
    [[20.0, 9.0], [60.0, 5.0]]
    """
    places = [getattr(instance, geometry) for instance in instances]
    placed = [number for number, xy in enumerate(places) if xy is not None]
    if not placed:
        return list(instances)
    corners = [places[number].reshape(-1, 2).min(axis=0) for number in placed]
    x, y = to_bins(np.array(corners), image_size).T
    order = [placed[i] for i in np.lexsort((y, x))]
    others = [number for number, xy in enumerate(places) if xy is None]
    return [instances[number] for number in order + others]
