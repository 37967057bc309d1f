"""Text detection and recognition by the protocol of ICDAR 2015."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rexkit.edit_distance import edit_distance
from rexkit.geometry import (
    box_coverage,
    box_iou,
    match,
    polygon_bounds,
    polygon_coverage,
    polygon_iou,
)
from rexkit.instances import outline
from rexkit.metrics.metric import Metric, State
from rexkit.metrics.precision_recall import precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

# The protocol requires more than one half, both of the IoU and of the coverage by a region.
_HALF = 0.5
_MORE_THAN_HALF = float(np.nextafter(_HALF, 1.0))


@METRICS.register_module()
class OCRHmean(Metric):
    """Compute hmean, precision and recall of text detection and of end-to-end recognition.

    Source: Karatzas et al., "ICDAR 2015 competition on Robust Reading", and the evaluation scripts
    of its challenge 4 (rrc.cvc.uab.es). A prediction is detected if it is matched one to one with a
    target text at an IoU above 0.5. A prediction that lies by more than half of its area in one
    ignored region is removed before matching and not counted. The scripts match greedily in the
    order of the files; here the number of matches is maximal (`rexkit.geometry.match`), which is
    the same unless target texts overlap. Phrases are not compared: the text is in
    ``Instance.text``.

    - ``hmean``, ``precision``, ``recall``: of detection. hmean is the harmonic mean of both.
    - ``e2e_hmean``, ``e2e_precision``, ``e2e_recall``: of texts that are detected and recognised
      exactly, apart from surrounding white space; ``e2e_hmean_ci``: ignoring case. (The competition
      ignores case, and also punctuation around a target word, which is not done here.)
    - ``word_accuracy``, ``word_accuracy_ci``: the fraction of detected texts that are recognised
      exactly, or ignoring case.
    - ``1-ned_matched``: 1 - edit distance / length of the longer text, mean over detected texts.
    - ``1-ned``: the same with 0 for missed texts and false positives, as in the ICDAR 2019
      competitions (Chng et al., "ArT", arXiv:1909.07145, there without case and punctuation).

    With neither predictions nor targets the values are 1, with only one of the two 0.

    Args:
        geometry: the geometry to compare, "polygon" or "bbox". For "polygon", boxes count as their
            four corners; for "bbox", polygons count as the box around them. Instances with neither
            are not compared.

    Raises:
        ValueError: the geometry is another one.
    """

    def __init__(self, geometry: Literal["polygon", "bbox"] = "polygon"):
        if geometry not in ("polygon", "bbox"):
            raise ValueError(f"geometry: must be 'polygon' or 'bbox', got {geometry!r}")
        self.geometry = geometry
        # Matches, predictions, targets; matches recognised exactly, and ignoring case.
        self._counts = np.zeros(5, dtype=np.int64)
        # Edit distances of the matches, summed by the length of the longer text: integers, so that
        # the values do not depend on the order of adding.
        self._distances: Counter[int] = Counter()

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        predictions = [i for i in prediction.instances if _has_geometry(i) and not i.ignore]
        targets = [i for i in target.instances if _has_geometry(i) and not i.ignore]
        regions = [i for i in target.instances if _has_geometry(i) and i.ignore]
        if regions and predictions:
            in_region = self._overlaps(predictions, regions, covered=True).max(axis=1) > _HALF
            predictions = [i for i, out in zip(predictions, in_region, strict=True) if not out]
        rows, columns = match(self._overlaps(predictions, targets), _MORE_THAN_HALF)
        read = [_text(predictions[row]) for row in rows]
        true_texts = [_text(targets[column]) for column in columns]
        right, right_ci = 0, 0
        for predicted, true in zip(read, true_texts, strict=True):
            right += predicted == true
            right_ci += predicted.casefold() == true.casefold()
            if longer := max(len(predicted), len(true)):
                self._distances[longer] += edit_distance(predicted, true)
        self._counts += [len(rows), len(predictions), len(targets), right, right_ci]

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        pairs, predictions, targets, right, right_ci = (int(count) for count in self._counts)
        precision, recall, hmean = precision_recall_f1([pairs, predictions, targets])
        e2e_precision, e2e_recall, e2e_hmean = precision_recall_f1([right, predictions, targets])
        _, _, e2e_hmean_ci = precision_recall_f1([right_ci, predictions, targets])
        lost = sum(self._distances[length] / length for length in sorted(self._distances))
        everything = predictions + targets - pairs

        def fraction(part: float, total: int) -> float:
            return part / total if total else float(not everything)

        return {
            "hmean": float(hmean),
            "precision": float(precision),
            "recall": float(recall),
            "e2e_hmean": float(e2e_hmean),
            "e2e_precision": float(e2e_precision),
            "e2e_recall": float(e2e_recall),
            "e2e_hmean_ci": float(e2e_hmean_ci),
            "word_accuracy": fraction(right, pairs),
            "word_accuracy_ci": fraction(right_ci, pairs),
            "1-ned": fraction(pairs - lost, everything),
            "1-ned_matched": fraction(pairs - lost, pairs),
        }

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        lengths = sorted(self._distances)
        distances = [self._distances[length] for length in lengths]
        return {
            "counts": self._counts.copy(),
            "lengths": np.array(lengths, dtype=np.int64),
            "distances": np.array(distances, dtype=np.int64),
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        self._counts += state["counts"]
        pairs = zip(state["lengths"].tolist(), state["distances"].tolist(), strict=True)
        self._distances.update(dict(pairs))

    def _overlaps(
        self, rows: Sequence[Instance], columns: Sequence[Instance], covered: bool = False
    ) -> Array:
        """Return the IoU of every pair, or the fraction of each row that lies in each column."""
        if self.geometry == "bbox":
            boxes = [np.reshape([_box(i) for i in x], (-1, 4)) for x in (rows, columns)]
            return (box_coverage if covered else box_iou)(*boxes)
        polygons = [[outline(i) for i in x] for x in (rows, columns)]
        return (polygon_coverage if covered else polygon_iou)(*polygons)


def _has_geometry(instance: Instance) -> bool:
    return instance.bbox is not None or instance.polygon is not None


def _box(instance: Instance) -> Array:
    if instance.bbox is not None:
        return instance.bbox
    assert instance.polygon is not None  # _has_geometry was checked
    return polygon_bounds(instance.polygon)


def _text(instance: Instance) -> str:
    return (instance.text or "").strip()
