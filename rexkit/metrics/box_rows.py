"""Boxes of many images as rows of numbers, for metrics that rank all answers in the end."""

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


class BoxRows(Metric):
    """Keeps a row for each true and each answered box: 8 numbers, whatever the images' size.

    Rows begin with the numbers of their image and phrase. Two keys an image depend on nothing
    but its truth and its answer: sorted by them, the images come in the same order whichever
    order they were added in.

    A subclass with tables of its own names them in ``columns`` and adds to them in its ``add``.
    """

    columns: ClassVar[dict[str, int]] = {
        "truths": 8,  # image, phrase, x0, y0, x1, y1, area, ignored
        "answers": 7,  # image, phrase, x0, y0, x1, y1, score or NaN
    }

    def __init__(self) -> None:
        self._phrases: dict[str, int] = {}
        self._images = 0
        self._keys: list[Keys] = []
        self._rows: dict[str, list[Array]] = {name: [] for name in self.columns}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        truth = [i for i in target.instances if i.bbox is not None]
        answer = [i for i in prediction.instances if i.bbox is not None and not i.ignore]
        boxes = Annotation(target.image_size, truth).boxes()
        truths = self._table(truth, boxes, *self._known(truth, boxes))
        scores = [np.nan if i.score is None else i.score for i in answer]
        answers = self._table(answer, Annotation(target.image_size, answer).boxes(), scores)
        self._rows["truths"].append(truths)
        self._rows["answers"].append(answers)
        key = [_key(truth, truths[:, 2:]), _key(answer, answers[:, 2:])]
        self._keys.append(np.array([key], dtype=np.uint64))
        self._images += 1

    def _known(self, truth: Sequence[Instance], boxes: Array) -> list[list[Any]]:
        """The columns of true boxes after their coordinates."""
        areas = [area(i, box) for i, box in zip(truth, boxes, strict=True)]
        return [areas, [i.ignore for i in truth]]

    def state(self) -> State:
        return {
            "phrases": np.array(list(self._phrases), dtype=np.str_),
            "keys": np.concatenate([np.empty((0, 2), np.uint64), *self._keys]),
            **{
                name: np.concatenate([np.empty((0, width)), *self._rows[name]])
                for name, width in self.columns.items()
            },
        }

    def absorb(self, state: State) -> None:
        phrases = np.array([self._index(p) for p in state["phrases"].tolist()], dtype=np.int64)
        for name, mine in self._rows.items():
            rows = state[name].copy()
            rows[:, 0] += self._images
            rows[:, 1] = phrases[rows[:, 1].astype(np.int64)]
            mine.append(rows)
        self._keys.append(state["keys"])
        self._images += len(state["keys"])

    def _table(self, instances: Sequence[Instance], boxes: Array, *columns: list[Any]) -> Array:
        image = np.full(len(instances), self._images)
        phrases = [self._index(i.phrase) for i in instances]
        return np.column_stack([image, phrases, boxes, *columns]).astype(np.float64)

    def _index(self, phrase: str) -> int:
        return self._phrases.setdefault(phrase, len(self._phrases))


def fill_scores(answers: Array) -> str:
    """What served as score: "model" where every answer has one; else all get 1, "constant".

    Args:
        answers: the rows; without scores, they are changed.
    """
    scores = answers[:, 6]
    if len(scores) > 0 and np.isfinite(scores).all():
        return "model"
    scores[:] = 1.0
    return "constant"


def _key(instances: Sequence[Instance], numbers: Array) -> int:
    """A number that stands for some instances and is the same in every process."""
    phrases = "\n".join(i.phrase for i in instances).encode("utf-8", "replace")
    return int.from_bytes(blake2b(phrases + numbers.tobytes(), digest_size=8).digest())
