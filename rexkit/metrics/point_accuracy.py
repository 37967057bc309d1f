"""Accuracy of points by their distance to target points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import match
from rexkit.instances import same_phrase
from rexkit.metrics.precision_recall import Counts, PrecisionRecallMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class PointAccuracy(PrecisionRecallMetric):
    """Compute the fraction of target points with a predicted point of their phrase close by.

    ``accuracy@0.02`` counts points within 0.02 of the image's diagonal, 16 pixels at 640x480.
    Predicted and target points are matched one to one (`rexkit.geometry.match`) so that the most
    are right. Surplus predictions are not punished, as in PCK of keypoints; `PointF1` does that.
    Targets without a point and ignored ones are not counted. Without targets the value is 1 if
    nothing was predicted, else 0.

    Args:
        distances: distances as fractions of the diagonal.
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(
        self, distances: Sequence[float] = (0.01, 0.02, 0.05), strict_phrases: bool = False
    ):
        super().__init__(len(distances), strict_phrases=strict_phrases)
        self.distances = tuple(distances)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        predictions = [i for i in prediction.instances if i.point is not None and not i.ignore]
        targets = [i for i in target.instances if i.point is not None and not i.ignore]
        predicted, required = ([i.phrase for i in side] for side in (predictions, targets))
        points = np.array([i.point for i in predictions], dtype=np.float64).reshape(-1, 1, 2)
        target_points = np.array([i.point for i in targets], dtype=np.float64).reshape(-1, 2)
        distances = np.hypot(*np.moveaxis(points - target_points, 2, 0)) / math.hypot(
            *target.image_size
        )
        nearness = np.where(same_phrase(predicted, required), -distances, -np.inf)
        correct = np.zeros((len(self.distances), len(predictions)), dtype=np.bool_)
        for row, distance in zip(correct, self.distances, strict=True):
            row[match(nearness, -distance)[0]] = True
        self.count(predicted, required, correct, np.ones_like(correct))

    def metrics_from_counts(self, counts: Counts) -> dict[str, float]:
        """Compute the accuracy at each distance from (3, thresholds) counts."""
        _, recall, _ = precision_recall_f1(counts)
        return {
            f"accuracy@{distance:g}": float(fraction)
            for distance, fraction in zip(self.distances, recall, strict=True)
        }
