"""F1 of boxes: the figure for detectors that answer without scores."""

from __future__ import annotations

import numpy as np

from rexkit.geometry import box_coverage, box_iou, match
from rexkit.instances import area, same_phrase
from rexkit.metrics.sizes import SIZES, size_of
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

THRESHOLDS = np.linspace(0.5, 0.95, 10).round(2)
"""COCO's ten IoU thresholds, 0.5:0.05:0.95."""

_NAMED = {"0.5": slice(0, 1), "0.75": slice(5, 6), "0.95": slice(9, 10), "0.5:0.95": slice(0, 10)}
"""The thresholds that figures are of, by the end of their names."""


@METRICS.register_module()
class BoxF1(TallyMetric):
    """F1, precision and recall of boxes at IoU 0.5, 0.75, 0.95 and averaged over 0.5:0.05:0.95.

    A box is right if it is matched one to one (`rexkit.geometry.match`) with a true box of its own
    phrase; every other box answered is wrong, whether its phrase was asked for or not. A box that
    is not matched but lies in an ignored region of its phrase (the share of its area inside reaches
    the threshold, COCO's rule for crowds) is not counted. Instances without a box are not looked
    at, so a true box answered by a point is a miss.

    Nothing to be found and nothing answered is 1, one without the other is 0.

    By size (``f1_small@0.5``, …; all figures by `per_group`) a matched answer belongs to the size
    of its true box, any other to the size of its own area, as COCO has it: below 32² pixels is
    small, from 96² on large. True boxes go by ``extra["area"]`` where the data set gives a number.
    A size without truths and answers has no figure: -1, as in COCO.
    """

    def __init__(self) -> None:
        super().__init__(len(THRESHOLDS), SIZES)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        found, boxes = _boxed(prediction, ignored=False)
        true, true_boxes = _boxed(target, ignored=False)
        crowd, regions = _boxed(target, ignored=True)
        answered, wanted, ignored = ([i.phrase for i in x] for x in (found, true, crowd))
        overlap = box_iou(boxes, true_boxes) * same_phrase(answered, wanted)
        covered = box_coverage(boxes, regions) * same_phrase(answered, ignored)
        excused = covered.max(axis=1, initial=0.0) >= THRESHOLDS[:, None]
        own_size = size_of((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        true_size = size_of([area(i, box) for i, box in zip(true, true_boxes, strict=True)])
        hit = np.zeros_like(excused)
        size = np.tile(own_size, (len(THRESHOLDS), 1))
        for number, threshold in enumerate(THRESHOLDS):
            rows, columns = match(overlap, threshold)
            hit[number, rows] = True
            size[number, rows] = true_size[columns]
        self.count(
            answered,
            wanted,
            hit,
            hit | ~excused,
            answer_groups=size,
            truth_groups=true_size,
        )

    def figures(self, counts: Counts) -> dict[str, float]:
        precision, recall, f1 = precision_recall_f1(counts)
        return {
            f"{name}@{iou}": float(values[some].mean())
            for name, values in (("f1", f1), ("precision", precision), ("recall", recall))
            for iou, some in _NAMED.items()
        }

    def compute(self) -> dict[str, float]:
        by_size = {
            f"f1_{size}@{iou}": table[f"f1@{iou}"] if table["answers"] or table["truths"] else -1.0
            for size, table in self.per_group().items()
            for iou in ("0.5", "0.5:0.95")
        }
        return {**super().compute(), **by_size}


def _boxed(annotation: Annotation, ignored: bool) -> tuple[list[Instance], Array]:
    """Instances with a box that are ignored, or that are not, and their boxes (N, 4)."""
    found = [i for i in annotation.instances if i.bbox is not None and i.ignore == ignored]
    return found, Annotation(annotation.image_size, found).boxes()
