"""LVIS's average precision: of sets in which not everything was looked for in every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rexkit.metrics.box_rows import BoxRows, fill_scores
from rexkit.metrics.coco_tables import means, tables
from rexkit.metrics.metric import State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ap_rare", "ap_common", "ap_frequent"),
    *("ar300", "ar_small", "ar_medium", "ar_large"),
)
"""LVIS's thirteen figures, in its order."""

FREQUENCIES = ("r", "c", "f")
"""LVIS's groups: seen in fewer than 10, fewer than 100, or more of the training images."""

MOST_ANSWERS = 300
"""How many answers of an image are looked at."""

# Larger than any size: such a truth may be answered, and is not asked for.
_NOT_ASKED = np.inf


@METRICS.register_module()
class LvisAP(BoxRows):
    """LVIS's thirteen figures of boxes, by the protocol of Gupta, Dollár and Girshick, 2019.

    It differs from `CocoAP` in this:

    - Answers of a phrase count only in the images where it was looked for: where the truth has
      an instance of it, or where it is ``absent``.
    - Where its instances have ``extra["not_exhaustive"]``, more of them may be in the image, and
      answers that are matched with none do not count.
    - At most 300 answers an image are looked at, those with the highest scores.
    - Ignored instances are no crowds: each excuses one answer, at the IoU of a match.
    - ``ap_rare``, ``ap_common``, ``ap_frequent`` go by ``extra["frequency"]`` of the instances:
      r, c or f. They are -1 where it is not known.

    `LvisDataset` sets both. What served as score is part of the names, and -1 is a figure without
    any truth to it, as in `CocoAP`.
    """

    columns: ClassVar[dict[str, int]] = {
        **BoxRows.columns,
        "truths": 9,  # … and whether its phrase was not looked for exhaustively
        "negatives": 2,  # image, phrase
    }

    def __init__(self) -> None:
        super().__init__()
        self._frequencies: dict[str, str] = {}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        negatives = [[self._images, self._index(phrase)] for phrase in target.absent]
        self._rows["negatives"].append(np.array(negatives, dtype=np.float64).reshape(-1, 2))
        for instance in target.instances:
            if frequency := instance.extra.get("frequency"):
                self._frequencies[instance.phrase] = str(frequency)
        super().add(prediction, target)

    def _known(self, truth: Sequence[Instance], boxes: Array) -> list[list[Any]]:
        partly = [bool(i.extra.get("not_exhaustive")) for i in truth]
        return [*super()._known(truth, boxes), partly]

    def compute(self) -> dict[str, float]:
        state = self.state()
        source = fill_scores(state["answers"])
        truths, answers = _looked_for(state["truths"], state["answers"], state["negatives"])
        frequency = state["frequencies"]
        figures = means(
            len(FIGURES),
            (
                [
                    *(p[:, :, :, 0, 0], p[0, :, :, 0, 0], p[5, :, :, 0, 0]),
                    *(p[:, :, :, size, 0] for size in (1, 2, 3)),
                    *(p[:, :, frequency[phrases] == group, 0, 0] for group in FREQUENCIES),
                    *(r[:, :, size, 0] for size in (0, 1, 2, 3)),
                ]
                for phrases, p, r in tables(truths, answers, state["keys"], [MOST_ANSWERS])
            ),
        )
        return {
            f"{name}[score={source}]": value for name, value in zip(FIGURES, figures, strict=True)
        }

    def state(self) -> State:
        frequencies = [self._frequencies.get(phrase, "") for phrase in self._phrases]
        return {**super().state(), "frequencies": np.array(frequencies, dtype=np.str_)}

    def absorb(self, state: State) -> None:
        super().absorb(state)
        known = zip(state["phrases"].tolist(), state["frequencies"].tolist(), strict=True)
        self._frequencies |= {phrase: frequency for phrase, frequency in known if frequency}


def _looked_for(truths: Array, answers: Array, negatives: Array) -> tuple[Array, Array]:
    """Rows for COCO's tables that make LVIS's figures."""
    order = np.lexsort((-answers[:, 6], answers[:, 0]))  # stable: equals stay as answered
    images = answers[order, 0]
    rank = np.arange(len(order)) - np.searchsorted(images, images)
    answers = answers[np.sort(order[rank < MOST_ANSWERS])]
    known = np.unique(np.concatenate([truths[:, :2], negatives]), axis=0)
    answers = answers[_among(answers[:, :2], known)]
    # As LVIS's own code, which leaves out what has no area.
    answers = answers[(answers[:, 4:6] - answers[:, 2:4]).prod(axis=1) > 0]
    truths = truths[truths[:, 6] > 0]
    truths[truths[:, 7] > 0, 6] = _NOT_ASKED
    truths[:, 7] = 0
    # Whatever is not matched in an image lies in a crowd as large as the plane: it is not counted.
    partly = np.unique(truths[truths[:, 8] > 0, :2], axis=0)
    plane = np.tile([-1e9, -1e9, 1e9, 1e9, 1.0, 1.0], (len(partly), 1))
    return np.concatenate([truths[:, :8], np.hstack([partly, plane])]), answers


def _among(rows: Array, known: Array) -> np.ndarray:
    """Which rows are among others: (N,) bool."""
    _, number = np.unique(np.concatenate([known, rows]), axis=0, return_inverse=True)
    return np.isin(number[len(known) :], number[: len(known)])
