"""Rewards of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.geometry import box_iou as iou
from rexkit.geometry import match
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import Alignment, align
from rexkit.rewards.rex_omni_rewards import Variant, rex_omni_box_iou
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("box_iou")
def box_iou(
    prediction: Prediction,
    target: Annotation,
    strict_phrases: bool = False,
    variant: Variant = "rexkit",
) -> float:
    """Return the F1 of best overlaps between predicted and target boxes.

    Precision is the mean over predicted boxes of their best IoU with a target box of their phrase,
    recall the mean over target boxes of their best IoU with a predicted one; the reward is their
    harmonic mean. Duplicates of a right box are not punished here, but by `box_f1`.

    That is the formula of the public Rex-Omni code, with these differences. An absent phrase is one
    more item of the ground truth, and a ``None`` one more item of the prediction, right (1) where
    the phrase is absent and wrong (0) elsewhere; there, only boxes count. Bins are divided by 999,
    there by 1,000. Predicted boxes without area count, there they do not. Phrases are compared as
    ``strict_phrases`` says, there character by character. In both, boxes are compared within their
    phrase, and nothing predicted where nothing is to be found is 1.
    ``variant="rex_omni"`` is the public formula to the letter.

    Args:
        prediction: the prediction.
        target: the ground truth.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.
        variant: "rexkit", or "rex_omni" for the public formula (`rexkit.rewards.rex_omni_rewards`),
            which always compares phrases character by character.

    Returns:
        The reward in [0, 1].

    >>> from rexkit.structures import Instance
    >>> cup = Instance("cup", bbox=np.array([0.0, 0, 10, 10]))
    >>> half = Instance("cup", bbox=np.array([0.0, 0, 10, 5]))
    >>> box_iou(Prediction((20, 20), [half]), Annotation((20, 20), [cup]))
    0.5
    """
    if variant == "rex_omni":
        return rex_omni_box_iou(prediction, target)
    pair = _align(prediction, target, strict_phrases)
    if not pair.num_predictions or not pair.num_targets:
        return float(pair.num_predictions == pair.num_targets)
    best_of_predictions = pair.similarity.max(axis=1, initial=0.0).sum()
    best_of_targets = pair.similarity.max(axis=0, initial=0.0).sum()
    precision = (best_of_predictions + pair.num_rejected) / pair.num_predictions
    recall = (best_of_targets + pair.num_rejected) / pair.num_targets
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


@REWARDS.register_module("box_f1")
def box_f1(
    prediction: Prediction,
    target: Annotation,
    threshold: float = 0.5,
    strict_phrases: bool = False,
) -> float:
    """Return the F1 of boxes that are matched one to one, so that duplicates are wrong.

    Args:
        prediction: the prediction.
        target: the ground truth.
        threshold: the least IoU of a right box.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    pair = _align(prediction, target, strict_phrases)
    return pair.f1(len(match(pair.similarity, threshold)[0]))


def _align(prediction: Prediction, target: Annotation, strict_phrases: bool) -> Alignment:
    return align(
        prediction,
        target,
        _overlap,
        lambda i: i.bbox is not None,
        strict_phrases=strict_phrases,
    )


def _overlap(predictions: Sequence[Instance], targets: Sequence[Instance]) -> Array:
    return iou(*(np.array([i.bbox for i in x]).reshape(-1, 4) for x in (predictions, targets)))
