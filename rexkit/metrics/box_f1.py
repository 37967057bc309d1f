"""F1 of boxes: the figure for detectors that answer without scores."""

from __future__ import annotations

import numpy as np

from rexkit.geometry import box_coverage, box_iou, match
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1, same_phrase
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Prediction

THRESHOLDS = np.linspace(0.5, 0.95, 10).round(2)
"""COCO's ten IoU thresholds, 0.5:0.05:0.95."""


@METRICS.register_module()
class BoxF1(TallyMetric):
    """F1 of boxes at IoU 0.5, at 0.95 and averaged over 0.5:0.05:0.95.

    A box is right if it is matched one to one (`rexkit.geometry.match`) with a true box of its own
    phrase; every other box answered is wrong, whether its phrase was asked for or not. A box that
    is not matched but lies in an ignored region of its phrase (the share of its area inside reaches
    the threshold, COCO's rule for crowds) is not counted. Instances without a box are not looked
    at, so a true box answered by a point is a miss.

    Nothing to be found and nothing answered is 1, one without the other is 0.
    """

    def __init__(self) -> None:
        super().__init__(len(THRESHOLDS))

    def add(self, prediction: Prediction, target: Annotation) -> None:
        answered, boxes = _boxed(prediction, ignored=False)
        wanted, true_boxes = _boxed(target, ignored=False)
        ignored, regions = _boxed(target, ignored=True)
        overlap = box_iou(boxes, true_boxes) * same_phrase(answered, wanted)
        covered = box_coverage(boxes, regions) * same_phrase(answered, ignored)
        excused = covered.max(axis=1, initial=0.0) >= THRESHOLDS[:, None]
        hit = np.zeros_like(excused)
        for row, threshold in zip(hit, THRESHOLDS, strict=True):
            row[match(overlap, threshold)[0]] = True
        self.count(answered, wanted, hit, hit | ~excused)

    def figures(self, counts: Counts) -> dict[str, float]:
        precision, recall, f1 = precision_recall_f1(counts)
        return {
            "f1@0.5": float(f1[0]),
            "f1@0.95": float(f1[-1]),
            "f1@0.5:0.95": float(f1.mean()),
            "precision@0.5": float(precision[0]),
            "recall@0.5": float(recall[0]),
        }


def _boxed(annotation: Annotation, ignored: bool) -> tuple[list[str], Array]:
    """Phrases and boxes (N, 4) of the instances that are ignored, or of those that are not."""
    found = [
        (i.phrase, i.bbox)
        for i in annotation.instances
        if i.bbox is not None and i.ignore == ignored
    ]
    return [phrase for phrase, _ in found], np.array([box for _, box in found]).reshape(-1, 4)
