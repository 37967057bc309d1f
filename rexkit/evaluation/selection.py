"""Which images to annotate next: those that the model is unsure of, unlike each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from rexkit.evaluation.uncertainty import Uncertainty
from rexkit.structures import Array

_SIDE = 8
"""Width and height of the thumbnail that describes an image."""


def describe_image(image: Image.Image) -> Array:
    """Return what two images are compared by: the colours of a thumbnail, (192,) in [0, 1]."""
    small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def uncertainties(found: Sequence[Uncertainty]) -> Array:
    """Return one number for each image: (N,) in [0, 1], 1 for the one the model is most unsure of.

    It is the mean of the image's ranks by doubt and by disagreement, of those that are known; where
    one of them is not known of an image, such as the doubt where nothing was found, the image is in
    the middle.
    """
    values = np.array([(u.doubt, u.disagreement) for u in found]).reshape(-1, 2)
    known = ~np.isnan(values)
    ranks = np.full(values.shape, 0.5)
    for column in np.flatnonzero(known.any(axis=0)).tolist():
        rows = known[:, column]
        ranks[rows, column] = _ranks(values[rows, column])
    used = known.any(axis=0)
    return ranks[:, used].mean(axis=1) if used.any() else ranks[:, 0]


def select(
    uncertainty: ArrayLike,
    descriptors: ArrayLike,
    budget: int,
    diversity: float = 0.5,
    annotated: ArrayLike = (),
) -> list[int]:
    """Return which images to annotate, in the order of their use.

    They are taken one by one: always the image with the largest weighted mean of its uncertainty
    and its distance to the nearest one that is annotated or taken, as in the k-center method
    (Sener and Savarese, ICLR 2018).

    Args:
        uncertainty: (N,) in [0, 1].
        descriptors: (N, D), as `describe_image` returns them.
        budget: how many to take; all where there are fewer.
        diversity: the weight of the distance, in [0, 1].
        annotated: (M, D), descriptors of images that have annotations already.

    >>> select([0.9, 0.8, 0.1], [[0.0], [0.1], [1.0]], budget=2)
    [0, 2]
    >>> select([0.9, 0.8, 0.1], [[0.0], [0.1], [1.0]], budget=2, diversity=0)
    [0, 1]
    """
    unsure = np.asarray(uncertainty, dtype=np.float64)
    if not len(unsure):
        return []
    points = np.asarray(descriptors, dtype=np.float64).reshape(len(unsure), -1)
    nearest = np.full(len(unsure), np.inf)
    for point in np.asarray(annotated, dtype=np.float64).reshape(-1, points.shape[1]):
        nearest = np.minimum(nearest, np.linalg.norm(points - point, axis=1))
    taken: list[int] = []
    while len(taken) < min(budget, len(unsure)):
        far = nearest[np.isfinite(nearest)].max(initial=0.0)
        distance = np.where(np.isfinite(nearest), nearest / (far or 1.0), 0.0)
        value = (1 - diversity) * unsure + diversity * distance
        value[taken] = -np.inf
        best = int(value.argmax())
        taken.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[best], axis=1))
    return taken


def _ranks(values: Array) -> Array:
    """Return the ranks of values from 0 to 1, equal ones the same."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = (ends - counts + ends - 1) / 2
    return np.asarray(middle[place] / max(len(values) - 1, 1))
