"""COCO's tables of precision and recall, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rexkit.geometry import Indices
from rexkit.metrics.ranked_box_metric import Keys
from rexkit.structures import Array

PHRASES_AT_ONCE = 500
"""COCO's tables have 12,120 entries per phrase; this many take 50 MB."""


def precision_tables(
    targets: Array, predictions: Array, keys: Keys, max_predictions: Sequence[int]
) -> Iterator[tuple[Indices, Array, Array]]:
    """Compute COCO's tables for a part of the phrases at a time.

    Args:
        targets: rows of `RankedBoxMetric`, with crowds marked in the eighth column.
        predictions: rows of `RankedBoxMetric`, with scores.
        keys: (images, 2), whose order is that of the images.
        max_predictions: the maximum numbers of predictions per phrase and image, ascending.

    Yields:
        The indices of the phrases; precisions (IoU, recall, phrase, size, maximum) and recalls
        (IoU, phrase, size, maximum), -1 without targets. Phrases without targets are skipped.
    """
    predictions = predictions[np.isin(predictions[:, 1], targets[:, 1])]
    targets, predictions, phrases = _number_by_phrase(targets, predictions, keys)
    for start in range(0, len(phrases), PHRASES_AT_ONCE):
        some = np.sort(phrases[start : start + PHRASES_AT_ONCE])
        yield (
            some,
            *_run(
                targets[np.isin(targets[:, 1], some)],
                predictions[np.isin(predictions[:, 1], some)],
                max_predictions,
            ),
        )


def mean_values(number: int, parts: Iterable[Sequence[Array]]) -> list[float]:
    """Average table entries that come in parts; entries of -1 are undefined and skipped.

    Args:
        number: the number of values.
        parts: for each part of the phrases, the entries of each value.

    Returns:
        The mean of each value; -1 if all its entries are undefined.
    """
    sums, counts = np.zeros(number), np.zeros(number)
    for part in parts:
        known = [entries[entries > -1] for entries in part]
        sums += [entries.sum() for entries in known]
        counts += [entries.size for entries in known]
    return [float(x) for x in np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)]


def _number_by_phrase(
    targets: Array, predictions: Array, keys: Keys
) -> tuple[Array, Array, Indices]:
    """Assign image numbers 1, 2, … within each phrase; sort phrases by their number of images.

    COCO treats categories separately, so this changes no value, but each phrase is evaluated only
    in the images it occurs in, which keeps thousands of referring expressions fast.
    """
    rank = np.empty(len(keys), dtype=np.int64)
    rank[np.lexsort(keys.T[::-1])] = np.arange(len(keys))
    rows = np.concatenate([targets[:, :2], predictions[:, :2]]).astype(np.int64)
    pairs, pair = np.unique(
        np.stack([rows[:, 1], rank[rows[:, 0]]], axis=1), axis=0, return_inverse=True
    )
    phrases, first, nth, size = np.unique(
        pairs[:, 0], return_index=True, return_inverse=True, return_counts=True
    )
    number = (np.arange(len(pairs)) - first[nth] + 1)[pair]
    targets, predictions = targets.copy(), predictions.copy()
    targets[:, 0], predictions[:, 0] = number[: len(targets)], number[len(targets) :]
    return targets, predictions, phrases[np.argsort(-size, kind="stable")]


def _run(targets: Array, predictions: Array, max_predictions: Sequence[int]) -> tuple[Array, Array]:
    """Return COCO's tables of precision and recall."""
    images, phrases = (
        [{"id": int(i)} for i in np.unique(np.append(targets[:, column], predictions[:, column]))]
        for column in (0, 1)
    )

    def coco(rows: Array, **columns: list[Any]) -> Any:
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
        return build_coco(images, phrases, annotations)

    from faster_coco_eval import COCOeval_faster

    evaluation = COCOeval_faster(
        coco(targets, area=targets[:, 6].tolist(), iscrowd=targets[:, 7].astype(int).tolist()),
        coco(predictions, score=predictions[:, 6].tolist()),
        "bbox",
        print_function=discard,
    )
    evaluation.params.maxDets = list(max_predictions)
    return run_evaluation(evaluation)


def build_coco(
    images: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
) -> Any:
    """Build a COCO dataset that prints nothing.

    Args:
        images: COCO's records of images.
        categories: COCO's records of categories.
        annotations: COCO's records of annotations.

    Returns:
        The ``faster_coco_eval.COCO`` of these records.
    """
    from faster_coco_eval import COCO

    data = {"images": images, "categories": categories, "annotations": annotations}
    return COCO(data, print_function=discard)


def run_evaluation(evaluation: Any) -> tuple[Array, Array]:
    """Run an evaluation of faster-coco-eval.

    Args:
        evaluation: a ``COCOeval_faster``, constructed with ``print_function=discard``.

    Returns:
        Its tables of precision and recall.
    """
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def discard(*_: object) -> None:
    """Print nothing, in place of ``print``."""
