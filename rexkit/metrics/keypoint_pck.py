"""Percentage of correct keypoints (PCK)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.geometry import match
from rexkit.keypoints import oks
from rexkit.metrics.keypoint_sets import KeypointSet, keypoint_sets
from rexkit.metrics.precision_recall import Counts, PrecisionRecallMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class KeypointPCK(PrecisionRecallMetric):
    """Compute the fraction of labelled keypoints that are predicted close enough.

    The distance is relative to the longer side of the target box. Source: Yang and Ramanan,
    "Articulated Human Detection with Flexible Mixtures of Parts", 2013, whose threshold is
    α · max(height, width); mmpose's PCK with the normaliser "bbox" is the same.

    Predictions are matched one to one with the targets of their phrase by OKS. All keypoints of a
    target that is not matched are wrong. The fraction is over all keypoints of all instances;
    ignored instances and unlabelled keypoints do not count. As always with PCK, surplus predictions
    are not punished; `KeypointAP` does that.

    With neither predictions nor targets the values are 1; with predictions only, 0.

    Args:
        thresholds: distances as fractions of the longer side.
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(
        self, thresholds: Sequence[float] = (0.05, 0.1, 0.2), strict_phrases: bool = False
    ):
        super().__init__(len(thresholds), strict_phrases=strict_phrases)
        self.thresholds = tuple(thresholds)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        for group in keypoint_sets(self.as_asked(prediction, target), target):
            self._add(group)

    def metrics_from_counts(self, counts: Counts) -> dict[str, float]:
        """Compute PCK at each threshold from (3, thresholds) counts."""
        _, fractions, _ = precision_recall_f1(counts)
        return {f"pck@{t:g}": float(x) for t, x in zip(self.thresholds, fractions, strict=True)}

    def _add(self, group: KeypointSet) -> None:
        kept = np.array([not i.ignore for i in group.targets], dtype=np.bool_)
        targets = group.target_points[kept]
        sizes = (group.boxes[kept, 2:] - group.boxes[kept, :2]).max(axis=1, initial=0.0)
        similarity = oks(group.predicted_points, targets, group.sigmas, group.areas[kept])
        rows, columns = match(similarity, float(np.finfo(np.float64).tiny))
        distance = np.linalg.norm(group.predicted_points[rows] - targets[columns], axis=2)
        correct = np.zeros(
            (len(self.thresholds), *group.predicted_points.shape[:2]), dtype=np.bool_
        )
        near = distance <= np.multiply.outer(self.thresholds, sizes[columns])[..., None]
        correct[:, rows] = near
        predicted = np.isfinite(group.predicted_points).all(axis=2)
        correct = correct[:, predicted]
        self.count(
            [group.phrase] * int(predicted.sum()),
            [group.phrase] * int(group.labelled[kept].sum()),
            correct,
            np.ones_like(correct),
        )
