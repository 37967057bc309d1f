"""How right and how near predictions are, for the faults of a prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import (
    Mask,
    box_corners,
    box_coverage,
    box_iou,
    points_in_boxes,
    polygon_iou,
)
from rexkit.grammar.bins import LAST_BIN
from rexkit.instances import extent, has_outline, in_outlines
from rexkit.structures import Array, Instance

DUPLICATE_IOU = 0.9
"""IoU from which on two predictions are at the same location."""
NEAR_IOU = 0.1
"""IoU from which on a prediction is near a target."""
NEAR_POINT = 0.05
"""Largest distance of a point from the box of a target near it, as a share of the diagonal."""
POINT_ON_POINT = 0.02
"""The same for a target point without extent; `rexkit.metrics.PointF1` uses it too."""


def overlap_and_nearness(
    predictions: Sequence[Instance], targets: Sequence[Instance], image_size: tuple[int, int]
) -> tuple[Array, Array]:
    """Return how right each prediction is for each target, and how near it is.

    Args:
        predictions: N of them, of any geometry.
        targets: M of them.
        image_size: (width, height) of the image in pixels.

    Returns:
        The overlap and the nearness, both (N, M) in [0, 1]. The overlap is an IoU, of a point 0 or
        1; nearness is 0 where it is below its threshold.
    """
    boxes, target_boxes = _extents(predictions), _extents(targets)
    overlap = box_iou(boxes, target_boxes)
    outlined = np.flatnonzero([i.polygon is not None and i.keypoints is None for i in predictions])
    if len(outlined) and len(targets):
        boxed = [box_corners(box) for box in target_boxes]
        overlap[outlined] = polygon_iou(
            [o for i in outlined.tolist() if (o := predictions[i].polygon) is not None],
            [b if t.polygon is None else t.polygon for t, b in zip(targets, boxed, strict=True)],
        )
    near = np.where(overlap >= NEAR_IOU, overlap, 0.0)
    pointed = np.flatnonzero([is_point(i) for i in predictions])
    if len(pointed) and len(targets):
        points = boxes[pointed, :2]
        diagonal = math.hypot(*image_size)
        overlap[pointed] = _on(points, targets, target_boxes, POINT_ON_POINT * diagonal)
        gap = _gap(points, target_boxes) / (NEAR_POINT * diagonal)
        near[pointed] = np.where(gap <= 1, 1.0 - gap / 2, 0.0)
    return overlap, near


def _on(points: Array, targets: Sequence[Instance], boxes: Array, radius: float) -> Mask:
    """Return which points are on which targets: (N, M)."""
    outlined = np.array([has_outline(target) for target in targets], np.bool_)
    inside = np.where(outlined, in_outlines(points, targets), points_in_boxes(points, boxes))
    dots = np.flatnonzero([is_point(t) and t.mask is None for t in targets])
    inside[:, dots] = _gap(points, boxes[dots]) <= radius
    return inside


def _gap(points: Array, boxes: Array) -> Array:
    """Distance of each point from each box, 0 inside: (N, M)."""
    xy = points[:, None]
    beyond = np.maximum(np.maximum(boxes[:, :2] - xy, xy - boxes[:, 2:]), 0.0)
    return np.asarray(np.hypot(beyond[..., 0], beyond[..., 1]))


def coverage(predictions: Sequence[Instance], regions: Sequence[Instance]) -> Array:
    """Return the share of each prediction that is in each ignored region: (N, M) in [0, 1]."""
    boxes, around = _extents(predictions), _extents(regions)
    points = np.array([is_point(i) for i in predictions], np.bool_).reshape(-1, 1)
    return np.where(points, points_in_boxes(boxes[:, :2], around), box_coverage(boxes, around))


def repeated(predictions: Sequence[Instance], same: Mask, image_size: tuple[int, int]) -> Mask:
    """Return which predictions are at the location of an earlier one of their phrase: (N,).

    Args:
        predictions: N of them.
        same: (N, N) whether two have the same phrase.
        image_size: (width, height) of the image in pixels.
    """
    boxes = _extents(predictions)
    points = np.array([is_point(i) for i in predictions], np.bool_)
    bins = boxes[:, :2] / image_size * LAST_BIN
    spot = (np.abs(bins[:, None] - bins) < 1).all(axis=2) & points[:, None] & points
    there = (box_iou(boxes, boxes) >= DUPLICATE_IOU) | spot
    return np.asarray((np.tril(there & same, k=-1)).any(axis=1))


def is_point(instance: Instance) -> bool:
    """Return whether an instance is a point and nothing else."""
    shapes = (instance.bbox, instance.polygon, instance.keypoints)
    return instance.point is not None and all(shape is None for shape in shapes)


def _extents(instances: Sequence[Instance]) -> Array:
    """Return the box around each instance, (N, 4): of no area for a point, NaN without geometry."""
    return np.array([extent(i) for i in instances], dtype=np.float64).reshape(-1, 4)
