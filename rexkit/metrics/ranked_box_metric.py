"""Base class of metrics that rank the predicted boxes of all images."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rexkit.instances import area
from rexkit.metrics.metric import Metric, State
from rexkit.structures import Annotation, Array, Instance, Prediction

Keys = NDArray[np.uint64]


class RankedBoxMetric(Metric):
    """Keep one row of numbers for each target and each predicted box.

    Rows start with the indices of their image and phrase. Each image has two keys that depend only
    on its ground truth and its prediction: sorted by them, the images have the same order whatever
    order they were added in.

    A subclass with further tables names them in ``columns`` and adds to them in its ``add``.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    columns: ClassVar[dict[str, int]] = {
        "targets": 8,  # image, phrase, x0, y0, x1, y1, area, ignored
        "predictions": 7,  # image, phrase, x0, y0, x1, y1, score or NaN
    }

    def __init__(self, strict_phrases: bool = False) -> None:
        self.strict_phrases = strict_phrases
        self._phrases: dict[str, int] = {}
        self._images = 0
        self._keys: list[Keys] = []
        self._rows: dict[str, list[Array]] = {name: [] for name in self.columns}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        targets = [i for i in target.instances if i.bbox is not None]
        predictions = [i for i in prediction.instances if i.bbox is not None and not i.ignore]
        boxes = Annotation(target.image_size, targets).boxes()
        target_rows = self._table(targets, boxes, *self._target_columns(targets, boxes))
        boxes = Annotation(target.image_size, predictions).boxes()
        scores = [np.nan if i.score is None else i.score for i in predictions]
        prediction_rows = self._table(predictions, boxes, scores)
        self._rows["targets"].append(target_rows)
        self._rows["predictions"].append(prediction_rows)
        key = [_key(targets, target_rows[:, 2:]), _key(predictions, prediction_rows[:, 2:])]
        self._keys.append(np.array([key], dtype=np.uint64))
        self._images += 1

    def _target_columns(self, targets: Sequence[Instance], boxes: Array) -> list[list[Any]]:
        """Return the columns of target boxes after their coordinates."""
        areas = [area(i, box) for i, box in zip(targets, boxes, strict=True)]
        return [areas, [i.ignore for i in targets]]

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {
            "phrases": np.array(list(self._phrases), dtype=np.str_),
            "keys": np.concatenate([np.empty((0, 2), np.uint64), *self._keys]),
            **{
                name: np.concatenate([np.empty((0, width)), *self._rows[name]])
                for name, width in self.columns.items()
            },
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        phrases = np.array([self._index(p) for p in state["phrases"].tolist()], dtype=np.int64)
        for name, tables in self._rows.items():
            rows = state[name].copy()
            rows[:, 0] += self._images
            rows[:, 1] = phrases[rows[:, 1].astype(np.int64)]
            tables.append(rows)
        self._keys.append(state["keys"])
        self._images += len(state["keys"])

    def _table(self, instances: Sequence[Instance], boxes: Array, *columns: list[Any]) -> Array:
        image = np.full(len(instances), self._images)
        phrases = [self._index(i.phrase) for i in instances]
        return np.column_stack([image, phrases, boxes, *columns]).astype(np.float64)

    def _index(self, phrase: str) -> int:
        return self._phrases.setdefault(phrase, len(self._phrases))


def fill_scores(predictions: Array) -> str:
    """Set all scores to 1 unless every prediction has one.

    Args:
        predictions: the prediction rows, which are changed in place.

    Returns:
        The source of the scores, "model" or "constant".
    """
    scores = predictions[:, 6]
    if len(scores) > 0 and np.isfinite(scores).all():
        return "model"
    scores[:] = 1.0
    return "constant"


def _key(instances: Sequence[Instance], numbers: Array) -> int:
    """Return a hash of instances that is the same in every process."""
    phrases = "\n".join(i.phrase for i in instances).encode("utf-8", "replace")
    return int.from_bytes(blake2b(phrases + numbers.tobytes(), digest_size=8).digest())
