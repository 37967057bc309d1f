"""PCK: the share of keypoints that are found near enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.geometry import match
from rexkit.keypoints import oks
from rexkit.metrics.keypoint_sets import KeypointSet, keypoint_sets
from rexkit.metrics.tally import Counts, TallyMetric, precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class KeypointPCK(TallyMetric):
    """The share of labelled keypoints that are answered within a share of their thing's size.

    The size is the longer side of the true box. Source: Yang and Ramanan, "Articulated Human
    Detection with Flexible Mixtures of Parts", 2013, whose threshold is α · max(height, width);
    it is also mmpose's with the normaliser "bbox".

    Answered things are paired one to one with the true ones of their phrase, as alike as can be by
    OKS. All keypoints of a true thing without a partner are wrong. The figure is over all
    keypoints of all things; things that are ignored, and keypoints that are not labelled, do not
    count. Answers too many cost nothing, as ever with PCK; `KeypointAP` counts them.

    Nothing to be found and nothing answered is 1, nothing to be found and something answered is 0.

    Args:
        thresholds: shares of the longer side.
    """

    def __init__(self, thresholds: Sequence[float] = (0.05, 0.1, 0.2)):
        super().__init__(len(thresholds))
        self.thresholds = tuple(thresholds)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        for group in keypoint_sets(prediction, target):
            self._add(group)

    def figures(self, counts: Counts) -> dict[str, float]:
        _, shares, _ = precision_recall_f1(counts)
        return {f"pck@{t:g}": float(x) for t, x in zip(self.thresholds, shares, strict=True)}

    def _add(self, group: KeypointSet) -> None:
        kept = np.array([not i.ignore for i in group.truths], dtype=np.bool_)
        true = group.true[kept]
        sizes = (group.boxes[kept, 2:] - group.boxes[kept, :2]).max(axis=1, initial=0.0)
        alike = oks(group.found, true, group.sigmas, group.areas[kept])
        rows, columns = match(alike, float(np.finfo(np.float64).tiny))
        distance = np.linalg.norm(group.found[rows] - true[columns], axis=2)
        hit = np.zeros((len(self.thresholds), *group.found.shape[:2]), dtype=np.bool_)
        near = distance <= np.multiply.outer(self.thresholds, sizes[columns])[..., None]
        hit[:, rows] = near
        answered = np.isfinite(group.found).all(axis=2)
        hit = hit[:, answered]
        self.count(
            [group.phrase] * int(answered.sum()),
            [group.phrase] * int(group.labelled[kept].sum()),
            hit,
            np.ones_like(hit),
        )
