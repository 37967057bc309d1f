"""Rewards of outlines and of what is written in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rexkit.geometry import match
from rexkit.geometry import polygon_iou as iou
from rexkit.registry import REWARDS
from rexkit.rewards.items import compare
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


def outline(instance: Instance) -> Any:
    """The polygon of an instance, or the four corners of its box: (K, 2)."""
    if instance.polygon is not None:
        return instance.polygon
    assert instance.bbox is not None
    x0, y0, x1, y1 = instance.bbox
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
