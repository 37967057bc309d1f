"""F1, precision and recall of boxes, for models that give no scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rexkit.geometry import box_coverage, box_iou, match
from rexkit.instances import area, same_phrase
from rexkit.metrics.precision_recall import Counts, PrecisionRecallMetric, precision_recall_f1
from rexkit.metrics.size_groups import SIZES, size_of
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

THRESHOLDS = np.linspace(0.5, 0.95, 10).round(2)
"""COCO's ten IoU thresholds, 0.5:0.05:0.95."""

_NAMED = {"0.5": slice(0, 1), "0.75": slice(5, 6), "0.95": slice(9, 10), "0.5:0.95": slice(0, 10)}
"""The thresholds of each value, by the end of its name."""


@METRICS.register_module()
class BoxF1(PrecisionRecallMetric):
    """Compute F1, precision and recall of boxes at IoU 0.5, 0.75, 0.95 and 0.5:0.05:0.95.

    A box is right if it is matched one to one (`rexkit.geometry.match`) with a target box of its
    own phrase; every other predicted box is wrong, even if its phrase was not asked for. A box that
    is not matched but lies in an ignored region of its phrase (the fraction of its area inside
    reaches the threshold, as COCO treats crowds) is not counted. Instances without a box are not
    compared, so a point predicted for a target box is a miss.

    With neither predictions nor targets the values are 1, with only one of the two 0.

    For the values by size (``f1_small@0.5``, …; all of them by `per_group`) a matched prediction
    has the size of its target, any other its own, with COCO's limits: below 32² pixels is small,
    from 96² on large. The area of a target is ``extra["area"]`` where the dataset gives it. A size
    without targets and predictions is -1, as in COCO.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(self, strict_phrases: bool = False) -> None:
        super().__init__(len(THRESHOLDS), SIZES, strict_phrases=strict_phrases)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        found, boxes = _boxed(prediction, ignored=False)
        targets, target_boxes = _boxed(target, ignored=False)
        crowd, regions = _boxed(target, ignored=True)
        predicted, required, ignored = ([i.phrase for i in x] for x in (found, targets, crowd))
        overlap = box_iou(boxes, target_boxes) * same_phrase(predicted, required)
        covered = box_coverage(boxes, regions) * same_phrase(predicted, ignored)
        in_region = covered.max(axis=1, initial=0.0) >= THRESHOLDS[:, None]
        predicted_size = size_of((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        target_size = size_of([area(i, box) for i, box in zip(targets, target_boxes, strict=True)])
        correct = np.zeros_like(in_region)
        size = np.tile(predicted_size, (len(THRESHOLDS), 1))
        for number, threshold in enumerate(THRESHOLDS):
            rows, columns = match(overlap, threshold)
            correct[number, rows] = True
            size[number, rows] = target_size[columns]
        self.count(
            predicted,
            required,
            correct,
            correct | ~in_region,
            prediction_groups=size,
            target_groups=target_size,
        )

    def metrics_from_counts(self, counts: Counts) -> dict[str, float]:
        """Compute F1, precision and recall from (3, thresholds) counts."""
        precision, recall, f1 = precision_recall_f1(counts)
        return {
            f"{name}@{iou}": float(values[indices].mean())
            for name, values in (("f1", f1), ("precision", precision), ("recall", recall))
            for iou, indices in _NAMED.items()
        }

    def compute(self) -> dict[str, float]:
        """Return the values over all images, and the F1 by size."""
        by_size = {
            f"f1_{size}@{iou}": table[f"f1@{iou}"] if _has_boxes(table) else -1.0
            for size, table in self.per_group().items()
            for iou in ("0.5", "0.5:0.95")
        }
        return {**super().compute(), **by_size}


def _boxed(annotation: Annotation, ignored: bool) -> tuple[list[Instance], Array]:
    """Return the instances with a box that are ignored, or are not, and their boxes (N, 4)."""
    found = [i for i in annotation.instances if i.bbox is not None and i.ignore == ignored]
    return found, Annotation(annotation.image_size, found).boxes()


def _has_boxes(table: Mapping[str, float]) -> bool:
    return bool(table["predictions"] or table["targets"])
