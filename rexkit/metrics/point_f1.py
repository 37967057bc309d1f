"""F1 of points: does a point lie on the thing it was asked for?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import Mask, match, points_in_boxes, points_in_mask, points_in_polygon
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1, same_phrase
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

    Nothing to be found and nothing answered is 1, one without the other is 0.

    Args:
        distance: how far a point may be from a true point, as a share of the picture's diagonal.
            There is no convention; 0.02 is 16 pixels at 640x480.
    """

    def __init__(self, distance: float = 0.02):
        super().__init__(1)
        self.distance = distance

    def add(self, prediction: Prediction, target: Annotation) -> None:
        answers = [i for i in prediction.instances if i.point is not None and not i.ignore]
        truths = [i for i in target.instances if _can_be_hit(i) and not i.ignore]
        regions = [i for i in target.instances if _can_be_hit(i) and i.ignore]
        points = np.array([i.point for i in answers], dtype=np.float64).reshape(-1, 2)
        radius = self.distance * math.hypot(*target.image_size)
        answered, wanted, ignored = ([i.phrase for i in x] for x in (answers, truths, regions))
        right = _inside(points, truths, radius) & same_phrase(answered, wanted)
        excused = _inside(points, regions, radius) & same_phrase(answered, ignored)
        hit = np.zeros((1, len(answers)), dtype=np.bool_)
        hit[0, match(right, 1.0)[0]] = True
        self.count(answered, wanted, hit, hit | ~excused.any(axis=1))

    def figures(self, counts: Counts) -> dict[str, float]:
        precision, recall, f1 = precision_recall_f1(counts[:, 0])
        return {
            "point_f1": float(f1),
            "point_precision": float(precision),
            "point_recall": float(recall),
        }


def _can_be_hit(instance: Instance) -> bool:
    shapes = (instance.mask, instance.polygon, instance.bbox, instance.point)
    return any(shape is not None for shape in shapes)


def _inside(points: Array, instances: Sequence[Instance], radius: float) -> Mask:
    """Which points lie on which instances: (N, M)."""
    nowhere = np.full(4, np.nan)
    boxes = np.array([nowhere if i.bbox is None else i.bbox for i in instances]).reshape(-1, 4)
    inside = points_in_boxes(points, boxes)
    for column, instance in enumerate(instances):
        if instance.mask is not None:
            inside[:, column] = points_in_mask(points, instance.mask)
        elif instance.polygon is not None:
            inside[:, column] = points_in_polygon(points, instance.polygon)
        elif instance.bbox is None and instance.point is not None:
            inside[:, column] = np.hypot(*(points - instance.point).T) <= radius
    return inside
