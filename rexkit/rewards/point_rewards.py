"""Rewards of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rexkit.geometry import Mask, match
from rexkit.instances import has_outline, in_boxes, in_outlines
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import align
from rexkit.rewards.rex_omni_rewards import Variant, rex_omni_point_f1
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("point_in_box")
def point_in_box(
    prediction: Prediction,
    target: Annotation,
    strict_phrases: bool = False,
    variant: Variant = "rexkit",
) -> float:
    """Return the F1 of points inside target boxes of their phrase, one point per box.

    The public Rex-Omni code differs: each target box in turn takes the first free point in it,
    where here points and boxes are paired so that the most points are right; absent phrases and
    ``None`` do not count, where here a ``None`` is an item, right where the phrase is absent; bins
    are divided by 1,000, here by 999; phrases are compared character by character, here as
    ``strict_phrases`` says. Both match points and boxes within their phrase.
    ``variant="rex_omni"`` is the public formula to the letter.

    Args:
        prediction: the prediction.
        target: the ground truth.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.
        variant: "rexkit", or "rex_omni" for the public formula (`rexkit.rewards.rex_omni_rewards`).

    Returns:
        The reward in [0, 1].
    """
    return _f1(prediction, target, _has_box, in_boxes, strict_phrases, variant)


@REWARDS.register_module("point_in_mask")
def point_in_mask(
    prediction: Prediction,
    target: Annotation,
    strict_phrases: bool = False,
    variant: Variant = "rexkit",
) -> float:
    """Return the F1 of points inside target masks of their phrase, one point per mask.

    The public Rex-Omni code differs as described at `point_in_box`.

    Args:
        prediction: the prediction.
        target: the ground truth; an instance without a mask (COCO RLE) counts by its polygon, one
            with neither by its box.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.
        variant: "rexkit", or "rex_omni" for the public formula (`rexkit.rewards.rex_omni_rewards`).

    Returns:
        The reward in [0, 1].
    """
    return _f1(prediction, target, _has_region, _in_regions, strict_phrases, variant)


def _f1(
    prediction: Prediction,
    target: Annotation,
    has_region: Callable[[Instance], bool],
    inside: Callable[[Array, Sequence[Instance]], Mask],
    strict_phrases: bool,
    variant: Variant,
) -> float:
    if variant == "rex_omni":
        return rex_omni_point_f1(prediction, target, has_region, inside)

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


def _has_box(instance: Instance) -> bool:
    return instance.bbox is not None


def _has_region(instance: Instance) -> bool:
    return has_outline(instance) or instance.bbox is not None


def _in_regions(points: Array, targets: Sequence[Instance]) -> Mask:
    outlined = np.array([has_outline(i) for i in targets], dtype=np.bool_)
    return np.where(outlined, in_outlines(points, targets), in_boxes(points, targets))
