"""Precision and recall of COCO and LVIS as the public Rex-Omni evaluation computes them.

Source: evaluation/fastevaluate/fastevaluate/cocoeval.cpp and evaluation/metrics/coco_lvis_metric.py
in the repository IDEA-Research/Rex-Omni. All predictions have the same score, so that the figures
depend on the order of images in the annotation file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rexkit.metrics.public_matching import IOUS
from rexkit.structures import Array

_RECALLS = np.array([i * 0.01 for i in range(101)])
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(slots=True)
class CategoryImage:
    """The boxes of one category in one image.

    Attributes:
        targets: (M, 4) x y width height.
        crowd: (M,) whether a target is a crowd, which takes any number of predictions out of the
            count.
        predictions: (N, 4) x y width height, in the order of the response.
        exhaustive: whether a prediction that is not matched counts as wrong.
    """

    targets: Array
    crowd: NDArray[np.bool_]
    predictions: Array
    exhaustive: bool = True


@dataclass(slots=True)
class CategoryCurve:
    """Precision and recall of one category at each threshold of IoU.

    Attributes:
        precision: where recall is highest; NaN where nothing is matched.
        recall: of all predictions; -1 where the category has no targets.
    """

    precision: Array
    recall: Array


def category_curve(images: Sequence[CategoryImage]) -> CategoryCurve:
    """Compute the curve of one category over all images, in their order.

    Precision is read at the highest of the recall levels 0, 0.01, …, 1 below the recall: it is the
    best precision from there on, not that of all predictions.
    """
    required = sum(int((~image.crowd).sum()) for image in images)
    nothing = np.full(len(IOUS), np.nan)
    if not required:
        return CategoryCurve(nothing, np.full(len(IOUS), -1.0))
    found = [_match(image) for image in images]
    correct, wrong = (np.concatenate(side, axis=1) for side in zip(*found, strict=True))
    if not correct.shape[1]:
        return CategoryCurve(nothing, np.zeros(len(IOUS)))
    true, false = correct.cumsum(axis=1), wrong.cumsum(axis=1)
    recall = true / required
    precision = true / (false + true + _EPSILON)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    last = recall[:, -1]
    at = np.full(len(IOUS), np.nan)
    for level, top in enumerate(last):
        if top > 0:
            highest = _RECALLS[top > _RECALLS][-1]
            at[level] = best[level, np.searchsorted(recall[level], highest, side="right")]
    return CategoryCurve(at, last)


def mean_curves(curves: Sequence[CategoryCurve]) -> dict[str, float]:
    """Average the curves of all categories, in the order of the annotation file.

    A category (or a threshold) without a match takes the precision of the one before it, and values
    of 0 are left out of means, as in the public code.
    """
    at_50, at_95, everywhere = 0.0, 0.0, 0.0
    precision: dict[str, list[float]] = {"0.5": [], "0.95": [], "0.5:0.95": []}
    for curve in curves:
        first, last = float(curve.precision[0]), float(curve.precision[-1])
        at_50, at_95 = (at_50 if np.isnan(first) else first), (at_95 if np.isnan(last) else last)
        total = 0.0
        for value in curve.precision.tolist():
            everywhere = everywhere if np.isnan(value) else value
            total += everywhere
        for name, value in (("0.5", at_50), ("0.95", at_95), ("0.5:0.95", total / len(IOUS))):
            precision[name].append(value)
    recall = {
        "0.5": [float(curve.recall[0]) for curve in curves],
        "0.95": [float(curve.recall[-1]) for curve in curves],
        "0.5:0.95": [float(curve.recall.sum() / len(IOUS)) for curve in curves],
    }
    values = {}
    for name in precision:
        p, r = _mean_above_0(precision[name]), _mean_above_0(recall[name])
        values[f"precision@{name}"], values[f"recall@{name}"] = p, r
        values[f"f1@{name}"] = 2 * p * r / (p + r) if p + r > 0 else 0.0
    return values


def _mean_above_0(values: Sequence[float]) -> float:
    above = [value for value in values if value > 0]
    return float(np.mean(above)) if above else 0.0


def _match(image: CategoryImage) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which predictions are right and which wrong: (thresholds, N) each.

    Each takes the free target that it overlaps most, the later of equal ones, and a crowd only
    where there is none.
    """
    order = np.argsort(image.crowd, kind="stable")
    crowd = image.crowd[order]
    overlap = _overlap(image.predictions, image.targets[order], crowd)
    shape = (len(IOUS), len(image.predictions))
    right, left_out = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    number = int((~crowd).sum())
    for level, iou in enumerate(IOUS):
        free = np.ones(number, dtype=np.bool_)
        for column, row in enumerate(overlap):
            if (match := _last_best(np.where(free, row[:number], -1.0), iou)) is not None:
                free[match] = False
                right[level, column] = True
            elif _last_best(row[number:], iou) is not None or not image.exhaustive:
                left_out[level, column] = True
    return right, ~right & ~left_out


def _last_best(row: Array, least: float) -> int | None:
    """Return the last of the largest entries that are at least so large, if any."""
    if not len(row) or row.max() < least:
        return None
    return int(len(row) - 1 - row[::-1].argmax())


def _overlap(predictions: Array, targets: Array, crowd: NDArray[np.bool_]) -> Array:
    """Return the IoU of boxes x y width height, for a crowd the part of the prediction in it."""
    d, g = predictions[:, None], targets[None]
    low = np.maximum(d[..., :2], g[..., :2])
    sides = np.minimum(d[..., 2:] + d[..., :2], g[..., 2:] + g[..., :2]) - low
    shared = np.where((sides > 0).all(axis=2), sides.prod(axis=2), 0.0)
    own, other = predictions[:, 2:].prod(axis=1)[:, None], targets[:, 2:].prod(axis=1)
    total = np.where(crowd, own, own + other - shared)
    return np.where(shared > 0, shared / np.where(shared > 0, total, 1.0), 0.0)
