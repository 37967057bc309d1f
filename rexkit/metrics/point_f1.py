"""F1 of points: does a point lie on the thing it was asked for?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import Mask, match
from rexkit.instances import has_outline, in_boxes, in_outlines, same_phrase
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction


@METRICS.register_module()
class PointF1(TallyMetric):
    """F1 of points, one to one with the instances they lie on.

    A point lies on an instance of its own phrase if it is inside its mask; where it has none, its
    polygon; then its box, edges included. Where the truth is a point alone, it must be within
    ``distance`` of it. Points and instances are paired so that as many as can be are right
    (`rexkit.geometry.match`): a second point on the same instance is wrong. A point that is not
    paired but lies on an ignored instance of its phrase is not counted. Answers without a point are
    not looked at.

    ``f1_in_box`` and ``f1_in_mask`` (a polygon counts as a mask) tell the two rules apart. They are
    of the same points: of the phrases of an image whose instances all have both. So they are
    there only where some truth has both.

    Nothing to be found and nothing answered is 1, one without the other is 0.

    Args:
        distance: how far a point may be from a true point, as a share of the image's diagonal.
            There is no convention; 0.02 is 16 pixels at 640x480.
    """

    def __init__(self, distance: float = 0.02):
        super().__init__(3)  # by what there is; by box; by mask
        self.distance = distance

    def add(self, prediction: Prediction, target: Annotation) -> None:
        answers = [i for i in prediction.instances if i.point is not None and not i.ignore]
        there = [i for i in target.instances if _can_be_hit(i)]
        points = np.array([i.point for i in answers], dtype=np.float64).reshape(-1, 2)
        answered, wanted = [i.phrase for i in answers], [i.phrase for i in there]
        same = same_phrase(answered, wanted)
        ignored = np.array([i.ignore for i in there], dtype=np.bool_)
        in_box, in_mask = in_boxes(points, there), in_outlines(points, there)
        near = _near(points, there, self.distance * math.hypot(*target.image_size))
        outlined = np.array([has_outline(i) for i in there], dtype=np.bool_)
        boxed = np.array([i.bbox is not None for i in there], dtype=np.bool_)
        by_best = np.where(outlined, in_mask, np.where(boxed, in_box, near))
        partly = {p for p, both in zip(wanted, outlined & boxed, strict=True) if not both}
        takes_part = np.array([True] * len(answers), dtype=np.bool_)
        told_apart = np.array([p not in partly for p in answered], dtype=np.bool_)
        hits, counted = [], []
        for inside, asked in ((by_best, takes_part), (in_box, told_apart), (in_mask, told_apart)):
            right = inside & same & asked[:, None]
            hit = np.zeros(len(answers), dtype=np.bool_)
            hit[match(right & ~ignored, 1.0)[0]] = True
            hits.append(hit)
            counted.append(asked & (hit | ~(right & ignored).any(axis=1)))
        truths = [p for p, skip in zip(wanted, ignored, strict=True) if not skip]
        both = [p not in partly for p in truths]
        required = np.array([[True] * len(truths), both, both], dtype=np.bool_)
        self.count(answered, truths, np.array(hits), np.array(counted), required=required)

    def figures(self, counts: Counts) -> dict[str, float]:
        precision, recall, f1 = (values.tolist() for values in precision_recall_f1(counts))
        figures = {"f1": f1[0], "precision": precision[0], "recall": recall[0]}
        if counts[2, 1]:
            figures |= {"f1_in_box": f1[1], "f1_in_mask": f1[2]}
        return figures


def _can_be_hit(instance: Instance) -> bool:
    return has_outline(instance) or instance.bbox is not None or instance.point is not None


def _near(points: Array, instances: Sequence[Instance], radius: float) -> Mask:
    """Which points lie within a radius of which instances' points: (N, M)."""
    nowhere = np.full(2, np.nan)
    true = np.array([nowhere if i.point is None else i.point for i in instances]).reshape(-1, 2)
    return np.asarray(np.hypot(*np.moveaxis(points[:, None] - true, 2, 0)) <= radius)
