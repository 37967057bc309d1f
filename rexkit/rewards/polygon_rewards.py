"""Rewards of outlines."""

from __future__ import annotations

from collections.abc import Sequence

from rexkit.geometry import match
from rexkit.geometry import polygon_iou as iou
from rexkit.instances import outline
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import compare
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("polygon_iou")
def polygon_iou(prediction: Prediction, target: Annotation) -> float:
    """Overlap of outlines matched one to one: 2 · Σ IoU / (answers + truths).

    An instance without a polygon counts by its box.
    """
    found = compare(prediction, target, _overlap, _outline_of_any)
    rows, columns = match(found.likeness, _LEAST)
    return found.f1(float(found.likeness[rows, columns].sum()))


_LEAST = 1e-9  # any overlap is better than none


def _overlap(a: Sequence[Instance], b: Sequence[Instance]) -> Array:
    return iou([outline(i) for i in a], [outline(i) for i in b])


def _outline_of_any(instance: Instance) -> bool:
    return instance.polygon is not None or instance.bbox is not None
