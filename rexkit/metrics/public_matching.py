"""How the public Rex-Omni evaluation matches one image's predictions with its ground truth.

The rules are those of evaluation/metrics/other_metric.py in the repository IDEA-Research/Rex-Omni,
with all that is peculiar to them, since figures that are to be compared with published ones must
follow the same rules. `rexkit.geometry.match` is what rexkit's own metrics use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.geometry import Mask, decode_mask
from rexkit.structures import Array

Items = Mapping[str, Sequence[Any]]
"""What is in an image by phrase: boxes, points, polygons, masks, or objects with keypoints."""

IOUS: Array = np.array([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
"""The thresholds of IoU."""

OKS_THRESHOLDS = (0.5, 0.75, 0.9, 0.95)
OKS_OF_IOU = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)
"""Which of `OKS_THRESHOLDS` stands for each of `IOUS`, where keypoints are compared."""

_SIGMA = 0.025  # of every keypoint

_NO_MASK = np.zeros((0, 0), dtype=np.bool_)


class NotComparableError(ValueError):
    """Raised for an image on which the public script fails; it leaves such an image out."""


def count_items(items: Items) -> int:
    """Return the number of items of all phrases."""
    return sum(map(len, items.values()))


def all_items(items: Items) -> list[Any]:
    """Return the items of all phrases, in order."""
    return list(chain.from_iterable(items.values()))


def match_in_order(overlap: Array) -> NDArray[np.int64]:
    """Count matches: each target takes the free prediction that overlaps it most, in order.

    Args:
        overlap: (targets, predictions).

    Returns:
        The number of matches at each of `IOUS`; the first of equal predictions is taken.
    """
    levels = np.arange(len(IOUS))
    taken = np.zeros((len(IOUS), overlap.shape[1]), dtype=np.bool_)
    matches = np.zeros(len(IOUS), dtype=np.int64)
    if not overlap.shape[1]:
        return matches
    for row in overlap:
        free = np.where(taken, -1.0, row)
        best = free.argmax(axis=1)
        value = free[levels, best]
        right = (value >= IOUS) & (value > 0)
        taken[levels[right], best[right]] = True
        matches += right
    return matches


def box_overlap(targets: Sequence[Any], predictions: Sequence[Any]) -> Array:
    """Return the IoU of boxes: (targets, predictions).

    Only the first four numbers of each are read, so that a polygon counts as a box of its first two
    corners.

    Raises:
        NotComparableError: one has fewer numbers and something to be compared with.
    """
    if not targets or not predictions:
        return np.zeros((len(targets), len(predictions)))
    a, b = (_first_four(side) for side in (targets, predictions))
    low, high = (f(a[:, None, s], b[:, s]) for f, s in ((np.maximum, _LOW), (np.minimum, _HIGH)))
    width, height = np.moveaxis(high - low, 2, 0)
    apart = (high <= low).any(axis=2)
    shared = width * height
    area_a, area_b = ((x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b))
    union = area_a[:, None] + area_b - shared
    return np.where(apart, 0.0, shared / np.where(apart, 1.0, union))


_LOW, _HIGH = slice(0, 2), slice(2, 4)


def _first_four(items: Sequence[Any]) -> Array:
    try:
        if all(len(item) >= 4 for item in items):
            return np.array([list(item)[:4] for item in items], dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        pass
    raise NotComparableError("an item is compared with boxes, and is none")


def polygon_overlap(targets: Sequence[Any], predictions: Sequence[Any]) -> Array:
    """Return the IoU of polygons: (targets, predictions).

    It is 0 for what has fewer than three corners, a box for example, and for an outline that
    crosses itself.
    """
    a, b = ([_polygon(item) for item in side] for side in (targets, predictions))
    overlap = np.zeros((len(a), len(b)))
    for row, target in enumerate(a):
        for column, prediction in enumerate(b):
            if target is not None and prediction is not None:
                union = target.union(prediction).area
                shared = target.intersection(prediction).area
                overlap[row, column] = shared / union if union else 0.0
    return overlap


def _polygon(item: Any) -> Any:
    from shapely.geometry import Polygon

    try:
        if len(item) < 6 or len(item) % 2:
            return None
        polygon = Polygon(np.array(item, dtype=np.float64).reshape(-1, 2))
    except (TypeError, ValueError):
        return None
    return polygon if polygon.is_valid else None


def match_points(targets: Items, predictions: Items) -> int:
    """Count matches: each mask takes the first free point of its phrase that lies in it.

    Args:
        targets: masks, COCO run lengths whose counts are a string; others are empty.
        predictions: points; of anything longer the first two numbers are read.

    Raises:
        NotComparableError: a target is no mask, or a prediction no point.
    """
    matches = 0
    for phrase, masks in targets.items():
        free = [_pixel(point) for point in predictions.get(phrase, ())]
        for item in masks:
            mask = _decoded(item)
            found = next((number for number, xy in enumerate(free) if _inside(xy, mask)), None)
            if found is not None:
                del free[found]
                matches += 1
    return matches


def _decoded(item: Any) -> Mask:
    if not isinstance(item, Mapping) or not {"counts", "size"} <= item.keys():
        raise NotComparableError("the ground truth of points must be masks")
    if not isinstance(item["counts"], str):
        return _NO_MASK
    try:
        return decode_mask(item)
    except (TypeError, ValueError):
        return _NO_MASK


def _pixel(point: Any) -> tuple[int, int]:
    try:
        return int(point[0]), int(point[1])
    except (TypeError, ValueError, IndexError):
        raise NotComparableError("a prediction is no point") from None


def _inside(xy: tuple[int, int], mask: Mask) -> bool:
    x, y = xy
    height, width = mask.shape
    return 0 <= x < width and 0 <= y < height and bool(mask[y, x])


def keypoint_similarity(targets: Sequence[Any], predictions: Sequence[Any]) -> Array:
    """Return the similarity of keypoints: (targets, predictions).

    It is the mean over the keypoints that both have of exp(-d² / (2 · 0.025² · area of the target's
    box)), so a keypoint that is not predicted costs nothing.

    Args:
        targets: objects with ``bbox`` and ``keypoints``, names to x y.
        predictions: likewise.

    Raises:
        NotComparableError: a keypoint that both have is no x y, but "unvisible".
    """
    similarity = np.zeros((len(targets), len(predictions)))
    try:
        for row, target in enumerate(targets):
            x0, y0, x1, y1 = target.get("bbox", (0, 0, 1, 1))
            area = (x1 - x0) * (y1 - y0)
            for column, prediction in enumerate(predictions):
                if area > 0:
                    similarity[row, column] = _similarity(
                        target.get("keypoints") or {}, prediction.get("keypoints") or {}, area
                    )
    except (TypeError, ValueError, IndexError, AttributeError):
        raise NotComparableError("a keypoint that is compared is no x y") from None
    return similarity


def _similarity(target: Mapping[str, Any], prediction: Mapping[str, Any], area: float) -> float:
    pairs = [(xy, prediction.get(name)) for name, xy in sorted(target.items())]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not known:
        return 0.0
    a, b = (
        np.array([xy[:2] for xy in side], dtype=np.float64) for side in zip(*known, strict=True)
    )
    squared = ((b - a) ** 2).sum(axis=1)
    return float(np.exp(-squared / (2 * _SIGMA**2 * area)).mean())


def point_in_box(predictions: Items, box: Any) -> bool:
    """Return whether any point, or the centre of any box, lies in a box, edges included."""
    if not isinstance(box, Sequence) or len(box) != 4:
        return False
    x, y = sorted((box[0], box[2])), sorted((box[1], box[3]))
    centres = [
        ((item[0] + item[-2]) / 2, (item[1] + item[-1]) / 2)
        for item in all_items(predictions)
        if isinstance(item, Sequence) and len(item) in (2, 4)
    ]
    return any(x[0] <= cx <= x[1] and y[0] <= cy <= y[1] for cx, cy in centres)
