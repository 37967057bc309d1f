"""LVIS's average precision, for datasets that are not annotated exhaustively."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rexkit.metrics.coco_evaluation import mean_values, precision_tables
from rexkit.metrics.metric import State
from rexkit.metrics.ranked_box_metric import RankedBoxMetric, fill_scores
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

METRIC_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ap_rare", "ap_common", "ap_frequent"),
    *("ar300", "ar_small", "ar_medium", "ar_large"),
)
"""The names of LVIS's thirteen values, in its order."""

FREQUENCIES = ("r", "c", "f")
"""LVIS's groups: categories in at most 10, at most 100, or more of the training images."""

MAX_PREDICTIONS = 300
"""The maximum number of predictions per image."""

# Larger than any size group, so that such a target may be predicted but need not be.
_NOT_REQUIRED = np.inf


@METRICS.register_module()
class LvisAP(RankedBoxMetric):
    """Compute LVIS's thirteen values of boxes, by the protocol of Gupta, Dollár and Girshick, 2019.

    The differences from `CocoAP` are:

    - Predictions of a phrase count only in images that were annotated for it: where it has a target
      instance or is ``absent``.
    - Where its instances have ``extra["not_exhaustive"]``, more of them may be in the image, and
      predictions that are not matched do not count.
    - At most 300 predictions per image are ranked, those with the highest scores.
    - Ignored instances are not crowds: each of them takes one prediction out of the count, at the
      IoU of a match.
    - ``ap_rare``, ``ap_common`` and ``ap_frequent`` go by ``extra["frequency"]`` of the instances
      (r, c or f). They are -1 if it is not known.

    `LvisDataset` sets both. The names end in the source of the scores, and a value without any
    target is -1, as in `CocoAP`.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    columns: ClassVar[dict[str, int]] = {
        **RankedBoxMetric.columns,
        "targets": 9,  # … and whether its phrase was not annotated exhaustively
        "negatives": 2,  # image, phrase
    }

    def __init__(self, strict_phrases: bool = False) -> None:
        super().__init__(strict_phrases)
        self._frequencies: dict[str, str] = {}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        negatives = [[self._images, self._index(phrase)] for phrase in target.absent]
        self._rows["negatives"].append(np.array(negatives, dtype=np.float64).reshape(-1, 2))
        for instance in target.instances:
            if frequency := instance.extra.get("frequency"):
                self._frequencies[instance.phrase] = str(frequency)
        super().add(prediction, target)

    def _target_columns(self, targets: Sequence[Instance], boxes: Array) -> list[list[Any]]:
        not_exhaustive = [bool(i.extra.get("not_exhaustive")) for i in targets]
        return [*super()._target_columns(targets, boxes), not_exhaustive]

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        state = self.state()
        source = fill_scores(state["predictions"])
        targets, predictions = _annotated_rows(
            state["targets"], state["predictions"], state["negatives"]
        )
        frequency = state["frequencies"]
        values = mean_values(
            len(METRIC_NAMES),
            (
                [
                    *(p[:, :, :, 0, 0], p[0, :, :, 0, 0], p[5, :, :, 0, 0]),
                    *(p[:, :, :, size, 0] for size in (1, 2, 3)),
                    *(p[:, :, frequency[phrases] == group, 0, 0] for group in FREQUENCIES),
                    *(r[:, :, size, 0] for size in (0, 1, 2, 3)),
                ]
                for phrases, p, r in precision_tables(
                    targets, predictions, state["keys"], [MAX_PREDICTIONS]
                )
            ),
        )
        return {
            f"{name}[score={source}]": value
            for name, value in zip(METRIC_NAMES, values, strict=True)
        }

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        frequencies = [self._frequencies.get(phrase, "") for phrase in self._phrases]
        return {**super().state(), "frequencies": np.array(frequencies, dtype=np.str_)}

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        super().absorb(state)
        known = zip(state["phrases"].tolist(), state["frequencies"].tolist(), strict=True)
        self._frequencies |= {phrase: frequency for phrase, frequency in known if frequency}


def _annotated_rows(targets: Array, predictions: Array, negatives: Array) -> tuple[Array, Array]:
    """Return the rows for which COCO's tables are LVIS's."""
    order = np.lexsort(
        (-predictions[:, 6], predictions[:, 0])
    )  # stable: equal scores keep the order of the prediction
    images = predictions[order, 0]
    rank = np.arange(len(order)) - np.searchsorted(images, images)
    predictions = predictions[np.sort(order[rank < MAX_PREDICTIONS])]
    known = np.unique(np.concatenate([targets[:, :2], negatives]), axis=0)
    predictions = predictions[_among(predictions[:, :2], known)]
    # LVIS's own code drops boxes without area.
    predictions = predictions[(predictions[:, 4:6] - predictions[:, 2:4]).prod(axis=1) > 0]
    targets = targets[targets[:, 6] > 0]
    targets[targets[:, 7] > 0, 6] = _NOT_REQUIRED
    targets[:, 7] = 0
    # Where annotation is not exhaustive, a crowd that covers the plane excludes what is unmatched.
    not_exhaustive = np.unique(targets[targets[:, 8] > 0, :2], axis=0)
    plane = np.tile([-1e9, -1e9, 1e9, 1e9, 1.0, 1.0], (len(not_exhaustive), 1))
    return np.concatenate([targets[:, :8], np.hstack([not_exhaustive, plane])]), predictions


def _among(rows: Array, known: Array) -> np.ndarray:
    """Return whether each row is among others: (N,) bool."""
    _, number = np.unique(np.concatenate([known, rows]), axis=0, return_inverse=True)
    return np.isin(number[len(known) :], number[: len(known)])
