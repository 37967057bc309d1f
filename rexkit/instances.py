"""Operations on instances: equal phrases, areas, extents, outlines, and points inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rexkit.geometry import (
    Mask,
    box_corners,
    points_in_boxes,
    points_in_mask,
    points_in_polygon,
    polygon_bounds,
)
from rexkit.run_lengths import mask_box
from rexkit.structures import Array, Instance

__all__ = [
    "HIDDEN_KEYPOINTS",
    "area",
    "extent",
    "has_outline",
    "in_boxes",
    "in_outlines",
    "keypoint_visibility",
    "outline",
    "own_box",
    "same_phrase",
]


HIDDEN_KEYPOINTS = "hidden_keypoints"
"""The field of ``Instance.extra`` with the names of keypoints that have a place in the image, and
cannot be seen there: they are labelled through what hides them."""


def same_phrase(a: Sequence[str], b: Sequence[str]) -> Mask:
    """Tell which phrases are equal, character by character: (N, M) bool.

    >>> same_phrase(["cup", "dog"], ["cup"]).tolist()
    [[True], [False]]
    """
    numbers: dict[str, int] = {}
    rows, columns = (
        np.array([numbers.setdefault(phrase, len(numbers)) for phrase in side], dtype=np.int64)
        for side in (a, b)
    )
    return np.asarray(rows[:, None] == columns)


def area(instance: Instance, box: Array) -> float:
    """Return ``extra["area"]`` where the dataset has it, otherwise the area of the box.

    In square pixels. COCO's files give the area of the outline.

    >>> area(Instance("cup", extra={"area": 50}), np.array([0.0, 0, 10, 10]))
    50.0
    """
    known = instance.extra.get("area")
    return float(known if isinstance(known, (int, float)) else (box[2:] - box[:2]).prod())


def extent(instance: Instance) -> Array:
    """Return the box around an instance: (4,) xyxy; without area for a point, NaN for nothing.

    >>> extent(Instance("cup", point=np.array([1.0, 2.0]))).tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    if instance.bbox is not None:
        return instance.bbox
    if instance.polygon is not None:
        return polygon_bounds(instance.polygon)
    if instance.mask is not None:
        return mask_box(instance.mask)
    seen = [xy for xy in (instance.keypoints or {}).values() if xy is not None]
    if seen:
        return polygon_bounds(seen)
    point = instance.point
    return np.full(4, np.nan) if point is None else np.concatenate([point, point])


def outline(instance: Instance) -> Array:
    """Return the polygon of an instance, or the corners of its box: (K, 2).

    Raises:
        ValueError: it has neither.
    """
    if instance.polygon is not None:
        return instance.polygon
    if instance.bbox is None:
        raise ValueError(f"an instance of {instance.phrase!r} has neither polygon nor bbox")
    return box_corners(instance.bbox)


def has_outline(instance: Instance) -> bool:
    """Tell whether an instance has a mask or a polygon."""
    return instance.mask is not None or instance.polygon is not None


def own_box(instance: Instance) -> Array | None:
    """Return the box of an instance; None where it is the one around its outline.

    >>> own_box(Instance("cup", bbox=[0, 0, 4, 4], polygon=[[0, 0], [4, 0], [4, 4]])) is None
    True
    """
    if instance.bbox is None or not has_outline(instance):
        return instance.bbox
    around = extent(replace(instance, bbox=None))
    return None if np.allclose(instance.bbox, around) else instance.bbox


def keypoint_visibility(instance: Instance) -> dict[str, int]:
    """Return COCO's ``v`` of each keypoint: 0 without a place, 1 hidden, 2 visible.

    >>> extra = {"hidden_keypoints": ["left ear"]}
    >>> places = {"nose": [1, 2], "left ear": [3, 4], "right ear": None}
    >>> keypoint_visibility(Instance("person", keypoints=places, extra=extra))
    {'nose': 2, 'left ear': 1, 'right ear': 0}
    """
    hidden = instance.extra.get(HIDDEN_KEYPOINTS) or ()
    return {
        name: 0 if xy is None else 1 if name in hidden else 2
        for name, xy in (instance.keypoints or {}).items()
    }


def in_boxes(points: Array, instances: Sequence[Instance]) -> Mask:
    """Tell which of (N, 2) points lie in which boxes: (N, M); no point is in a missing box."""
    nowhere = np.full(4, np.nan)
    boxes = np.array([nowhere if i.bbox is None else i.bbox for i in instances])
    return points_in_boxes(points, boxes.reshape(-1, 4))


def in_outlines(points: Array, instances: Sequence[Instance]) -> Mask:
    """Tell which of (N, 2) points lie in which masks, or polygons without a mask: (N, M)."""
    inside = np.zeros((len(points), len(instances)), dtype=np.bool_)
    for column, instance in enumerate(instances):
        if instance.mask is not None:
            inside[:, column] = points_in_mask(points, instance.mask)
        elif instance.polygon is not None:
            inside[:, column] = points_in_polygon(points, instance.polygon)
    return inside
