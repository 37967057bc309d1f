"""COCO's tables of precisions and recalls from rows of boxes, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rexkit.geometry import Indices
from rexkit.metrics.box_rows import Keys
from rexkit.structures import Array

PHRASES_AT_ONCE = 500
"""COCO's tables have 12,120 entries a phrase; this keeps them at 50 MB."""


def tables(
    truths: Array, answers: Array, keys: Keys, most_answers: Sequence[int]
) -> Iterator[tuple[Indices, Array, Array]]:
    """COCO's tables, some phrases at a time.

    Args:
        truths: rows of `BoxRows`, the eighth column marking crowds.
        answers: rows of `BoxRows`, with scores.
        keys: the order of the images.
        most_answers: how many answers a phrase and image are looked at, rising.

    Yields:
        The numbers of the phrases; precisions (IoU, recall, phrase, size, most answers) and
        recalls, the same without the second; -1 where there is no truth. A phrase without truth
        is left out.
    """
    answers = answers[np.isin(answers[:, 1], truths[:, 1])]
    truths, answers, phrases = _number_by_phrase(truths, answers, keys)
    for start in range(0, len(phrases), PHRASES_AT_ONCE):
        some = np.sort(phrases[start : start + PHRASES_AT_ONCE])
        yield (
            some,
            *_run(
                truths[np.isin(truths[:, 1], some)],
                answers[np.isin(answers[:, 1], some)],
                most_answers,
            ),
        )


def means(number: int, parts: Iterable[Sequence[Array]]) -> list[float]:
    """The means of a number of figures, over parts of values; -1 is no value, and no mean."""
    sums, counts = np.zeros(number), np.zeros(number)
    for values in parts:
        known = [value[value > -1] for value in values]
        sums += [value.sum() for value in known]
        counts += [value.size for value in known]
    return [float(x) for x in np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)]


def _number_by_phrase(truths: Array, answers: Array, keys: Keys) -> tuple[Array, Array, Indices]:
    """Number the images 1, 2, … within each phrase; phrases by how many they occur in.

    COCO never looks across categories. So this changes no figure, but a phrase is sought only in
    the images it occurs in, which makes thousands of expressions bearable.
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


def _run(truths: Array, answers: Array, most_answers: Sequence[int]) -> tuple[Array, Array]:
    """COCO's table of precisions and that of recalls."""
    from faster_coco_eval import COCO, COCOeval_faster

    images, phrases = (
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
        data = {"images": images, "categories": phrases, "annotations": annotations}
        return COCO(data, print_function=_be_quiet)

    wanted = coco(truths, area=truths[:, 6].tolist(), iscrowd=truths[:, 7].astype(int).tolist())
    answered = coco(answers, score=answers[:, 6].tolist())
    evaluation = COCOeval_faster(wanted, answered, "bbox", print_function=_be_quiet)
    evaluation.params.maxDets = list(most_answers)
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def _be_quiet(*_: object) -> None:
    """Takes the place of print: the figures are returned."""
