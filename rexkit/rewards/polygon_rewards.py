"""Reward of polygons."""

from __future__ import annotations

from collections.abc import Sequence

from rexkit.geometry import match
from rexkit.geometry import polygon_iou as iou
from rexkit.instances import outline
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import align
from rexkit.structures import Annotation, Array, Instance, Prediction

_ANY_OVERLAP = 1e-9  # the threshold of a match: any overlap is better than none


@REWARDS.register_module("polygon_iou")
def polygon_iou(prediction: Prediction, target: Annotation, strict_phrases: bool = False) -> float:
    """Return the overlap of polygons matched one to one: 2 · Σ IoU / (predictions + targets).

    Args:
        prediction: the prediction; an instance without a polygon counts by its box.
        target: the ground truth; likewise.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    pair = align(prediction, target, _overlap, _has_polygon_or_box, strict_phrases=strict_phrases)
    rows, columns = match(pair.similarity, _ANY_OVERLAP)
    return pair.f1(float(pair.similarity[rows, columns].sum()))


def _overlap(predictions: Sequence[Instance], targets: Sequence[Instance]) -> Array:
    return iou([outline(i) for i in predictions], [outline(i) for i in targets])


def _has_polygon_or_box(instance: Instance) -> bool:
    return instance.polygon is not None or instance.bbox is not None
