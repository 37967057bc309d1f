"""COCO's average precision, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.geometry import Indices
from rexkit.metrics.base import Metric, State
from rexkit.metrics.sizes import area
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""COCO's twelve figures, in its order."""

PHRASES_AT_ONCE = 500
"""COCO's tables have 12,120 entries a phrase; this keeps them at 50 MB."""

Keys = NDArray[np.uint64]

# The columns of a row of each table.
_TRUTH = 8  # picture, phrase, x0, y0, x1, y1, area, ignored
_ANSWER = 7  # picture, phrase, x0, y0, x1, y1, score or NaN


@METRICS.register_module()
class CocoAP(Metric):
    """COCO's twelve figures of boxes; a phrase is a category.

    AP ranks answers by score. Where every answered box has one, the names end in
    ``[score=model]``. The answers of a language model have none: then all score 1, the names end
    in ``[score=constant]``, and the figures are comparable only with others made so. Equal scores
    are ranked by picture, then as answered; pictures are put in an order that depends on nothing
    but their truth, so that the figures do not depend on the order of adding.

    As in COCO, a figure without any truth to it is -1, at most 100 boxes a phrase and picture are
    looked at, and ignored instances are crowds. Small, medium and large (32² and 96² pixels) go by
    ``extra["area"]`` where the data set gives a number, as COCO's files do, else by the box.
    """

    def __init__(self) -> None:
        self._phrases: dict[str, int] = {}
        self._pictures = 0
        self._keys: list[Keys] = []
        self._truths: list[Array] = []
        self._answers: list[Array] = []

    def add(self, prediction: Prediction, target: Annotation) -> None:
        truth = [i for i in target.instances if i.bbox is not None]
        answer = [i for i in prediction.instances if i.bbox is not None and not i.ignore]
        boxes = Annotation(target.image_size, truth).boxes()
        areas = [area(i, box) for i, box in zip(truth, boxes, strict=True)]
        truths = self._table(truth, boxes, areas, [i.ignore for i in truth])
        scores = [np.nan if i.score is None else i.score for i in answer]
        answers = self._table(answer, Annotation(target.image_size, answer).boxes(), scores)
        self._truths.append(truths)
        self._answers.append(answers)
        key = [_key(truth, truths[:, 2:]), _key(answer, answers[:, 2:])]
        self._keys.append(np.array([key], dtype=np.uint64))
        self._pictures += 1

    def compute(self) -> dict[str, float]:
        state = self.state()
        scores = state["answers"][:, 6]
        given = len(scores) > 0 and bool(np.isfinite(scores).all())
        if not given:
            scores[:] = 1.0
        source = "model" if given else "constant"
        figures = _evaluate(state["truths"], state["answers"], state["keys"])
        return {f"{name}[score={source}]": value for name, value in figures.items()}

    def state(self) -> State:
        return {
            "phrases": np.array(list(self._phrases), dtype=np.str_),
            "keys": np.concatenate([np.empty((0, 2), np.uint64), *self._keys]),
            "truths": np.concatenate([np.empty((0, _TRUTH)), *self._truths]),
            "answers": np.concatenate([np.empty((0, _ANSWER)), *self._answers]),
        }

    def absorb(self, state: State) -> None:
        phrases = np.array([self._index(p) for p in state["phrases"].tolist()], dtype=np.int64)
        for rows, mine in ((state["truths"], self._truths), (state["answers"], self._answers)):
            rows = rows.copy()
            rows[:, 0] += self._pictures
            rows[:, 1] = phrases[rows[:, 1].astype(np.int64)]
            mine.append(rows)
        self._keys.append(state["keys"])
        self._pictures += len(state["keys"])

    def _table(self, instances: Sequence[Instance], boxes: Array, *columns: list[Any]) -> Array:
        picture = np.full(len(instances), self._pictures)
        phrases = [self._index(i.phrase) for i in instances]
        return np.column_stack([picture, phrases, boxes, *columns]).astype(np.float64)

    def _index(self, phrase: str) -> int:
        return self._phrases.setdefault(phrase, len(self._phrases))


def _key(instances: Sequence[Instance], numbers: Array) -> int:
    """A number that stands for some instances and is the same in every process."""
    phrases = "\n".join(i.phrase for i in instances).encode("utf-8", "replace")
    return int.from_bytes(blake2b(phrases + numbers.tobytes(), digest_size=8).digest())


def _evaluate(truths: Array, answers: Array, keys: Keys) -> dict[str, float]:
    """COCO's figures of rows of truths and answers, the pictures in the order of their keys."""
    sums, counts = np.zeros(len(FIGURES)), np.zeros(len(FIGURES))
    # A phrase without truth has no figures and takes no part in the means.
    answers = answers[np.isin(answers[:, 1], truths[:, 1])]
    truths, answers, phrases = _number_by_phrase(truths, answers, keys)
    for start in range(0, len(phrases), PHRASES_AT_ONCE):
        some = phrases[start : start + PHRASES_AT_ONCE]
        precision, recall = _run(
            truths[np.isin(truths[:, 1], some)], answers[np.isin(answers[:, 1], some)]
        )
        # precision: (IoU, recall, phrase, size, most answers); recall: the same without the second.
        values = [
            *(precision[:, :, :, 0, 2], precision[0, :, :, 0, 2], precision[5, :, :, 0, 2]),
            *(precision[:, :, :, size, 2] for size in (1, 2, 3)),
            *(recall[:, :, 0, most] for most in (0, 1, 2)),
            *(recall[:, :, size, 2] for size in (1, 2, 3)),
        ]
        known = [value[value > -1] for value in values]
        sums += [value.sum() for value in known]
        counts += [value.size for value in known]
    means = np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)
    return dict(zip(FIGURES, means.tolist(), strict=True))


def _number_by_phrase(truths: Array, answers: Array, keys: Keys) -> tuple[Array, Array, Indices]:
    """Number the pictures 1, 2, … within each phrase; phrases by how many they occur in.

    COCO never looks across categories. So this changes no figure, but a phrase is sought only in
    the pictures it occurs in, which makes thousands of expressions bearable.
    """
    rank = np.empty(len(keys), dtype=np.int64)
    rank[np.lexsort(keys.T[::-1])] = np.arange(len(keys))
    rows = np.concatenate([truths[:, :2], answers[:, :2]]).astype(np.int64)
    pairs, pair = np.unique(
        np.stack([rows[:, 1], rank[rows[:, 0]]], axis=1), axis=0, return_inverse=True
    )
    phrases, first, nth, size = np.unique(
        pairs[:, 0], return_index=True, return_inverse=True, return_counts=True
    )
    number = (np.arange(len(pairs)) - first[nth] + 1)[pair]
    truths, answers = truths.copy(), answers.copy()
    truths[:, 0], answers[:, 0] = number[: len(truths)], number[len(truths) :]
    return truths, answers, phrases[np.argsort(-size, kind="stable")]


def _run(truths: Array, answers: Array) -> tuple[Array, Array]:
    """COCO's table of precisions and that of recalls."""
    from faster_coco_eval import COCO, COCOeval_faster

    pictures, phrases = (
        [{"id": int(i)} for i in np.unique(np.append(truths[:, column], answers[:, column]))]
        for column in (0, 1)
    )

    def coco(rows: Array, **columns: list[Any]) -> COCO:
        boxes = rows[:, 2:6].copy()
        boxes[:, 2:] -= boxes[:, :2]
        fields: dict[str, list[Any]] = {
            "id": list(range(1, len(rows) + 1)),
            "image_id": rows[:, 0].astype(np.int64).tolist(),
            "category_id": rows[:, 1].astype(np.int64).tolist(),
            "bbox": boxes.tolist(),
            "area": boxes[:, 2:].prod(axis=1).tolist(),
            "iscrowd": [0] * len(rows),
            **columns,
        }
        annotations = [
            dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)
        ]
        data = {"images": pictures, "categories": phrases, "annotations": annotations}
        return COCO(data, print_function=_be_quiet)

    wanted = coco(truths, area=truths[:, 6].tolist(), iscrowd=truths[:, 7].astype(int).tolist())
    answered = coco(answers, score=answers[:, 6].tolist())
    evaluation = COCOeval_faster(wanted, answered, "bbox", print_function=_be_quiet)
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def _be_quiet(*_: object) -> None:
    """Takes the place of print: the figures are returned."""
