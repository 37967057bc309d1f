"""Accuracy of points by distance: how close to the true points are the answered ones?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rexkit.geometry import match
from rexkit.instances import same_phrase
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class PointAccuracy(TallyMetric):
    """Share of the true points that have an answered point of their phrase near by.

    ``accuracy@0.02`` is of the points within 0.02 of the image's diagonal, 16 pixels at 640x480.
    Points are paired one to one (`rexkit.geometry.match`), as many as can be. Points beyond those
    are not held against an answer here, as in PCK of keypoints; `PointF1` does so. Truths without a
    point, and ignored ones, are not looked at. Without any true point the share is 1 if nothing was
    answered, else 0.

    Args:
        distances: shares of the diagonal.
    """

    def __init__(self, distances: Sequence[float] = (0.01, 0.02, 0.05)):
        super().__init__(len(distances))
        self.distances = tuple(distances)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        answers = [i for i in prediction.instances if i.point is not None and not i.ignore]
        truths = [i for i in target.instances if i.point is not None and not i.ignore]
        answered, wanted = ([i.phrase for i in side] for side in (answers, truths))
        points = np.array([i.point for i in answers], dtype=np.float64).reshape(-1, 1, 2)
        true = np.array([i.point for i in truths], dtype=np.float64).reshape(-1, 2)
        far = np.hypot(*np.moveaxis(points - true, 2, 0)) / math.hypot(*target.image_size)
        nearness = np.where(same_phrase(answered, wanted), -far, -np.inf)
        hit = np.zeros((len(self.distances), len(answers)), dtype=np.bool_)
        for row, distance in zip(hit, self.distances, strict=True):
            row[match(nearness, -distance)[0]] = True
        self.count(answered, wanted, hit, np.ones_like(hit))

    def figures(self, counts: Counts) -> dict[str, float]:
        _, recall, _ = precision_recall_f1(counts)
        return {
            f"accuracy@{distance:g}": float(share)
            for distance, share in zip(self.distances, recall, strict=True)
        }
