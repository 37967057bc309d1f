"""Rewards of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.geometry import box_iou as iou
from rexkit.geometry import match
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import Comparison, compare
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("box_iou")
def box_iou(prediction: Prediction, target: Annotation) -> float:
    """F1 of best overlaps: how well answered boxes lie on true ones, and the other way round.

    Precision is the mean over answered boxes of their best IoU with a true box of their phrase,
    recall the mean over true boxes of their best IoU with an answered one; the reward is their
    harmonic mean, as the Rex-Omni report publishes it. A ``None`` counts 1 where the phrase is
    absent and 0 elsewhere. Ten copies of a right box cost nothing here; `box_f1` punishes them.

    Unlike the published code, bins are divided by 999, boxes are compared within their phrase
    only, and an empty answer to an empty truth is 1.

    >>> from rexkit.structures import Instance
    >>> cup = Instance("cup", bbox=np.array([0.0, 0, 10, 10]))
    >>> half = Instance("cup", bbox=np.array([0.0, 0, 10, 5]))
    >>> box_iou(Prediction((20, 20), [half]), Annotation((20, 20), [cup]))
    0.5
    """
    found = _compared(prediction, target)
    if not found.answers or not found.truths:
        return float(found.answers == found.truths)
    precision = (found.likeness.max(axis=1, initial=0.0).sum() + found.rejected) / found.answers
    recall = (found.likeness.max(axis=0, initial=0.0).sum() + found.rejected) / found.truths
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


@REWARDS.register_module("box_f1")
def box_f1(prediction: Prediction, target: Annotation, threshold: float = 0.5) -> float:
    """F1 of boxes matched one to one: of ten copies of a right box nine are wrong.

    Args:
        prediction: the answer.
        target: the truth.
        threshold: the least IoU of a right box.
    """
    found = _compared(prediction, target)
    return found.f1(len(match(found.likeness, threshold)[0]))


def _compared(prediction: Prediction, target: Annotation) -> Comparison:
    return compare(prediction, target, _overlap, lambda i: i.bbox is not None)


def _overlap(a: Sequence[Instance], b: Sequence[Instance]) -> Array:
    boxes, truths = (np.array([i.bbox for i in side]).reshape(-1, 4) for side in (a, b))
    return iou(boxes, truths)
