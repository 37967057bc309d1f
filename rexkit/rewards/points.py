"""Rewards of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rexkit.geometry import match, points_in_boxes, points_in_mask, points_in_polygon
from rexkit.registry import REWARDS
from rexkit.rewards.items import compare
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("point_in_box")
def point_in_box(prediction: Prediction, target: Annotation) -> float:
    """F1 of points that lie in true boxes of their phrase, one point for each box.

    Unlike the published code, points and boxes are matched so that as many as can be are right,
    within their phrase only, and bins are divided by 999.
    """
    return _f1(prediction, target, lambda i: i.bbox is not None, _in_boxes)


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
    inside: Callable[[Array, Sequence[Instance]], Array],
) -> float:
    def lies_in(answers: Sequence[Instance], truths: Sequence[Instance]) -> Array:
        points = np.array([i.point for i in answers], dtype=np.float64).reshape(-1, 2)
        return inside(points, truths)

    found = compare(prediction, target, lies_in, lambda i: i.point is not None, has_region)
    return found.f1(len(match(found.likeness, 1.0)[0]))


def _in_boxes(points: Array, truths: Sequence[Instance]) -> Array:
    return points_in_boxes(points, np.array([i.bbox for i in truths]).reshape(-1, 4)).astype(float)


def _has_region(instance: Instance) -> bool:
    return any(x is not None for x in (instance.mask, instance.polygon, instance.bbox))


def _in_regions(points: Array, truths: Sequence[Instance]) -> Array:
    inside = np.zeros((len(points), len(truths)))
    for column, truth in enumerate(truths):
        if truth.mask is not None:
            inside[:, column] = points_in_mask(points, truth.mask)
        elif truth.polygon is not None:
            inside[:, column] = points_in_polygon(points, truth.polygon)
        else:
            inside[:, column] = points_in_boxes(points, truth.bbox)[:, 0]  # type: ignore[arg-type]
    return inside
