"""Rewards of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rexkit.geometry import Mask, match
from rexkit.instances import has_outline, in_boxes, in_outlines
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import align
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("point_in_box")
def point_in_box(prediction: Prediction, target: Annotation, strict_phrases: bool = False) -> float:
    """Return the F1 of points inside target boxes of their phrase, one point per box.

    Unlike in the published code, points and boxes are matched within their phrase only and so that
    the most points are right, and bins are divided by 999.

    Args:
        prediction: the prediction.
        target: the ground truth.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    return _f1(prediction, target, lambda i: i.bbox is not None, in_boxes, strict_phrases)


@REWARDS.register_module("point_in_mask")
def point_in_mask(
    prediction: Prediction, target: Annotation, strict_phrases: bool = False
) -> float:
    """Return the F1 of points inside target masks of their phrase, one point per mask.

    Args:
        prediction: the prediction.
        target: the ground truth; an instance without a mask (COCO RLE) counts by its polygon, one
            with neither by its box.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    return _f1(prediction, target, _has_region, _in_regions, strict_phrases)


def _f1(
    prediction: Prediction,
    target: Annotation,
    has_region: Callable[[Instance], bool],
    inside: Callable[[Array, Sequence[Instance]], Mask],
    strict_phrases: bool,
) -> float:
    def similarity(predictions: Sequence[Instance], targets: Sequence[Instance]) -> Array:
        points = np.array([i.point for i in predictions], dtype=np.float64).reshape(-1, 2)
        return inside(points, targets).astype(np.float64)

    pair = align(
        prediction,
        target,
        similarity,
        lambda i: i.point is not None,
        has_region,
        strict_phrases,
    )
    return pair.f1(len(match(pair.similarity, 1.0)[0]))


def _has_region(instance: Instance) -> bool:
    return has_outline(instance) or instance.bbox is not None


def _in_regions(points: Array, targets: Sequence[Instance]) -> Mask:
    outlined = np.array([has_outline(i) for i in targets], dtype=np.bool_)
    return np.where(outlined, in_outlines(points, targets), in_boxes(points, targets))
