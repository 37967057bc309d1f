"""Scores of one image by the public Rex-Omni evaluation, for each kind of its tasks.

The rules are those of evaluation/metrics/other_metric.py in the repository IDEA-Research/Rex-Omni.
A task is named as its rows name it: "common_object_detection", "pointing", "keypoint", …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.metrics.public_matching import (
    IOUS,
    OKS_OF_IOU,
    OKS_THRESHOLDS,
    Items,
    NotComparableError,
    all_items,
    box_overlap,
    count_items,
    keypoint_similarity,
    match_in_order,
    match_points,
    point_in_box,
    polygon_overlap,
)
from rexkit.structures import Array

UNNAMED_TASK = "referring_object_detection"
"""The task of rows that do not name one."""

VISUAL_PROMPT_TASK = "visual_prompt_detection"

_LETTERS_ONLY = (
    *("common_object_detection", "long_tailed_object_detection", "dense_object_detection"),
)
"""Tasks whose phrases are compared by their letters; others by all but ``_`` and the space."""

_FOLLOWED_BY_LETTERS = _LETTERS_ONLY[:2]
"""Tasks whose answered phrases are compared by their letters too."""

_POLYGON_TASKS = ("task4_detect_all_in_polygon", "task2_detect_all_in_polygon_and_recog")

_POINT_TASKS = ("pointing", "pointing_referring")
_ACCURACY_TASKS = ("hallucination", "gui")
ONE_THRESHOLD = (*_POINT_TASKS, *_ACCURACY_TASKS)
"""Tasks whose scores do not depend on a threshold."""


@dataclass(slots=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        precision: at each threshold of IoU.
        recall: likewise.
        followed: the fraction of the phrases of the ground truth that the response has.
        wrong_rejection: whether an item of the response is None, where an instance was to be found.
        count_error: |predicted - true| number of items, of visual prompts; else None.
        keypoints: the fraction of instances found at the lowest threshold of OKS, and the mean OKS
            of those above 0.5; None where no keypoints are compared.
    """

    precision: Array
    recall: Array
    followed: float
    wrong_rejection: bool
    count_error: int | None = None
    keypoints: tuple[float, float] | None = None


def score_image(task_name: str, target: Any, predictions: Items) -> ImageScore:
    """Score the predictions on one image.

    Args:
        task_name: as rows of the evaluation set name it.
        target: the ground truth as the row has it, by phrase; for "gui", one box.
        predictions: by phrase, in the order of the response.

    Raises:
        NotComparableError: the public script fails on it and leaves the image out.

    >>> score = score_image("dense_object_detection", {"Cup": [[0, 0, 9, 9]]},
    ...                     {"cup 2": [[0, 0, 9, 8], [5, 5, 9, 9]]})
    >>> float(score.precision[0]), float(score.recall[0]), score.followed
    (0.5, 1.0, 0.0)
    """
    predictions = _lower(predictions)
    if task_name == "gui":
        correct = point_in_box(predictions, target)
        return ImageScore(
            *_both(correct), followed=float(not predictions), wrong_rejection=_rejects(predictions)
        )
    if not isinstance(target, Mapping):
        raise NotComparableError(f"the ground truth of {task_name!r} must be lists by phrase")
    try:
        return _score_phrases(task_name, _lower(target), predictions)
    except (TypeError, KeyError, AttributeError) as error:
        raise NotComparableError(str(error)) from error


def _score_phrases(task_name: str, target: Items, predictions: Items) -> ImageScore:
    keypoints = None
    number_predicted = count_items(predictions)
    if task_name == "hallucination":
        precision, recall = _both(number_predicted == 0)
    elif task_name in _POINT_TASKS:
        precision, recall = _points(task_name, target, predictions)
    elif task_name == "keypoint":
        precision, recall, keypoints = _keypoints(target, predictions)
    elif task_name == UNNAMED_TASK:
        precision, recall = _referring(all_items(target), all_items(predictions))
    else:
        polygons = task_name in _POLYGON_TASKS
        target_items, predicted_items = (
            {_spelling(phrase, task_name): items for phrase, items in side.items()}
            for side in (target, predictions)
        )
        precision, recall, number_predicted, number = _detection(
            target_items, predicted_items, polygons
        )
        if task_name == VISUAL_PROMPT_TASK:
            return ImageScore(
                precision,
                recall,
                _followed(task_name, target, predictions),
                _rejects(predictions),
                abs(number_predicted - number),
            )
    return ImageScore(
        precision,
        recall,
        _followed(task_name, target, predictions),
        task_name != "hallucination" and _rejects(predictions),
        keypoints=keypoints,
    )


def _referring(targets: Sequence[Any], predictions: Sequence[Any]) -> tuple[Array, Array]:
    """Score boxes whatever their phrases are."""
    if not targets:
        return _both(not predictions)
    if not predictions:
        return _both(False)
    matches = match_in_order(box_overlap(targets, predictions))
    return matches / len(predictions), matches / len(targets)


def _detection(targets: Items, predictions: Items, polygons: bool) -> tuple[Array, Array, int, int]:
    """Score boxes or polygons: those of phrases of the ground truth, matched whatever they are.

    Predictions of other phrases are wrong.
    """
    predictions = {p: [i for i in items if not _is_none(i)] for p, items in predictions.items()}
    number, number_predicted = count_items(targets), count_items(predictions)
    if not targets or not number_predicted:
        both = _both(not targets and not number_predicted)
        return *both, number_predicted, number
    asked = all_items({phrase: predictions.get(phrase, ()) for phrase in targets})
    overlap = (polygon_overlap if polygons else box_overlap)(all_items(targets), asked)
    matches = match_in_order(overlap)
    recall = matches / number if number else np.zeros(len(IOUS))
    return matches / number_predicted, recall, number_predicted, number


def _points(task_name: str, target: Items, predictions: Items) -> tuple[Array, Array]:
    if task_name == "pointing_referring" and predictions:
        if not target:
            raise NotComparableError("a referring row needs a phrase")
        # Whatever the response calls it: its first phrase is the first of the ground truth.
        predictions = {next(iter(target)): next(iter(predictions.values()))}
    number, number_predicted = count_items(target), count_items(predictions)
    if not number or not number_predicted:
        return _both(not number and not number_predicted)
    matches = match_points(target, predictions)
    return np.full(len(IOUS), matches / number_predicted), np.full(len(IOUS), matches / number)


def _keypoints(target: Items, predictions: Items) -> tuple[Array, Array, tuple[float, float]]:
    """Score keypoints: each instance takes the most similar prediction, even one that is taken."""
    targets = [item for item in all_items(target) if item.get("keypoints")]
    if not targets:
        return *_both(True), (1.0, 0.0)
    found = all_items(predictions)
    if not found:
        return *_both(False), (0.0, 0.0)
    best = keypoint_similarity(targets, found).max(axis=1)
    fractions = [float((best >= threshold).mean()) for threshold in OKS_THRESHOLDS]
    precision = np.array([fractions[number] for number in OKS_OF_IOU])
    near = best[best > 0.5]
    return precision, precision, (fractions[0], float(near.mean()) if len(near) else 0.0)


def _followed(task_name: str, target: Items, predictions: Items) -> float:
    """Return the fraction of the target's phrases that the response has."""
    if not target:
        return float(not predictions)
    if task_name in _FOLLOWED_BY_LETTERS:
        wanted, answered = ({_spelling(p, task_name) for p in x} for x in (target, predictions))
        return len(wanted & answered) / len(target)
    return len(target.keys() & predictions.keys()) / len(target)


def _spelling(phrase: str, task_name: str) -> str:
    """Return what the spellings of a phrase, in lower case, have in common."""
    if task_name in _LETTERS_ONLY:
        return "".join(c.lower() for c in phrase if c.isalpha())
    return phrase.replace("_", "").replace(" ", "")


def _lower(items: Items) -> Items:
    """Return items by phrases in lower case; of two with one name the later remains."""
    return {phrase.lower(): values for phrase, values in items.items()}


def _rejects(predictions: Items) -> bool:
    return any(_is_none(i, whole=False) for items in predictions.values() for i in items or ())


def _is_none(item: Any, whole: bool = True) -> bool:
    if isinstance(item, str):
        return item == "None" if whole else item.lower() == "none"
    return item is None


def _both(correct: bool) -> tuple[Array, Array]:
    values: NDArray[np.float64] = np.full(len(IOUS), float(correct))
    return values, values


def f1(precision: ArrayLike, recall: ArrayLike) -> Array:
    """Return the harmonic mean of mean precision and mean recall; 0 where both are 0."""
    p, r = np.asarray(precision, dtype=np.float64), np.asarray(recall, dtype=np.float64)
    both = p + r
    return np.asarray(np.where(both > 0, 2 * (p * r) / np.where(both > 0, both, 1.0), 0.0))
