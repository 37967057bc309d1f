"""F1 of points that lie on instances."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import Mask, match
from rexkit.instances import has_outline, in_boxes, in_outlines, same_phrase
from rexkit.metrics.precision_recall import Counts, PrecisionRecallMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction


@METRICS.register_module()
class PointF1(PrecisionRecallMetric):
    """Compute F1, precision and recall of points matched one to one with instances.

    A point lies on an instance of its own phrase if it is inside its mask; without a mask, its
    polygon; else its box, edges included. If the target is only a point, the prediction must be
    within ``distance`` of it. Points and instances are matched so that the most are right
    (`rexkit.geometry.match`): a second point on the same instance is wrong. A point that is not
    matched but lies on an ignored instance of its phrase is not counted. Predictions without a
    point are not compared.

    ``f1_in_box`` and ``f1_in_mask`` (a polygon counts as a mask) separate the two rules. Both are
    over the same points: those of phrases whose instances in the image all have a box and a mask.
    They are reported only if there are such targets.

    With neither predictions nor targets the values are 1, with only one of the two 0.

    Args:
        distance: the maximum distance to a target point, as a fraction of the image's diagonal.
            There is no convention; 0.02 is 16 pixels at 640x480.
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(self, distance: float = 0.02, strict_phrases: bool = False):
        super().__init__(3, strict_phrases=strict_phrases)  # by the best geometry, by box, by mask
        self.distance = distance

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        predictions = [i for i in prediction.instances if i.point is not None and not i.ignore]
        instances = [i for i in target.instances if _has_geometry(i)]
        points = np.array([i.point for i in predictions], dtype=np.float64).reshape(-1, 2)
        predicted, phrases = [i.phrase for i in predictions], [i.phrase for i in instances]
        same = same_phrase(predicted, phrases)
        ignored = np.array([i.ignore for i in instances], dtype=np.bool_)
        in_box, in_mask = in_boxes(points, instances), in_outlines(points, instances)
        near = _near(points, instances, self.distance * math.hypot(*target.image_size))
        outlined = np.array([has_outline(i) for i in instances], dtype=np.bool_)
        boxed = np.array([i.bbox is not None for i in instances], dtype=np.bool_)
        in_best = np.where(outlined, in_mask, np.where(boxed, in_box, near))
        lacks_one = {p for p, both in zip(phrases, outlined & boxed, strict=True) if not both}
        all_points = np.array([True] * len(predictions), dtype=np.bool_)
        comparable = np.array([p not in lacks_one for p in predicted], dtype=np.bool_)
        correct, counted = [], []
        for inside, used in ((in_best, all_points), (in_box, comparable), (in_mask, comparable)):
            right = inside & same & used[:, None]
            matched = np.zeros(len(predictions), dtype=np.bool_)
            matched[match(right & ~ignored, 1.0)[0]] = True
            correct.append(matched)
            counted.append(used & (matched | ~(right & ignored).any(axis=1)))
        targets = [p for p, skip in zip(phrases, ignored, strict=True) if not skip]
        both = [p not in lacks_one for p in targets]
        required = np.array([[True] * len(targets), both, both], dtype=np.bool_)
        self.count(predicted, targets, np.array(correct), np.array(counted), required=required)

    def metrics_from_counts(self, counts: Counts) -> dict[str, float]:
        """Compute F1, precision and recall from (3, thresholds) counts."""
        precision, recall, f1 = (array.tolist() for array in precision_recall_f1(counts))
        values = {"f1": f1[0], "precision": precision[0], "recall": recall[0]}
        if counts[2, 1]:
            values |= {"f1_in_box": f1[1], "f1_in_mask": f1[2]}
        return values


def _has_geometry(instance: Instance) -> bool:
    return has_outline(instance) or instance.bbox is not None or instance.point is not None


def _near(points: Array, instances: Sequence[Instance], radius: float) -> Mask:
    """Return whether each point is within a radius of each instance's point: (N, M)."""
    missing = np.full(2, np.nan)
    targets = np.array([missing if i.point is None else i.point for i in instances]).reshape(-1, 2)
    return np.asarray(np.hypot(*np.moveaxis(points[:, None] - targets, 2, 0)) <= radius)
