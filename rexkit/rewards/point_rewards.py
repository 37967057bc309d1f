"""Rewards of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rexkit.geometry import Mask, match
from rexkit.instances import has_outline, in_boxes, in_outlines
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import compare
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("point_in_box")
def point_in_box(prediction: Prediction, target: Annotation) -> float:
    """F1 of points that lie in true boxes of their phrase, one point for each box.

    Unlike the published code, points and boxes are matched so that as many as can be are right,
    within their phrase only, and bins are divided by 999.
    """
    return _f1(prediction, target, lambda i: i.bbox is not None, in_boxes)


@REWARDS.register_module("point_in_mask")
def point_in_mask(prediction: Prediction, target: Annotation) -> float:
    """F1 of points that lie on true masks of their phrase, one point for each mask.

    Masks are COCO run lengths; an instance without one counts by its polygon, and where it has
    none either, by its box.
    """
    return _f1(prediction, target, _has_region, _in_regions)


def _f1(
    prediction: Prediction,
    target: Annotation,
    has_region: Callable[[Instance], bool],
    inside: Callable[[Array, Sequence[Instance]], Mask],
) -> float:
    def lies_in(answers: Sequence[Instance], truths: Sequence[Instance]) -> Array:
        points = np.array([i.point for i in answers], dtype=np.float64).reshape(-1, 2)
        return inside(points, truths).astype(np.float64)

    found = compare(prediction, target, lies_in, lambda i: i.point is not None, has_region)
    return found.f1(len(match(found.likeness, 1.0)[0]))


def _has_region(instance: Instance) -> bool:
    return has_outline(instance) or instance.bbox is not None


def _in_regions(points: Array, truths: Sequence[Instance]) -> Mask:
    outlined = np.array([has_outline(truth) for truth in truths], dtype=np.bool_)
    return np.where(outlined, in_outlines(points, truths), in_boxes(points, truths))
