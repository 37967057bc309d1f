"""What is wrong with an answer, fault by fault.

Faults are of three levels. An answer, a phrase and an instance may be faulty at the same time, but
an instance has at most one fault.

=============  =========  ==========================================================================
kind           of         when
=============  =========  ==========================================================================
unparseable    answer     a problem of its text by which something written is lost
                          (`LOSING_PROBLEMS`); one for each such problem. A span that is cut off
                          counts here only if the model ended it, not the token limit
truncated      answer     it was cut off at the token limit
not_asked      phrase     it is in the answer, with instances or None, and was not asked for
not_answered   phrase     it was asked for, and the answer has neither an instance of it nor None
duplicate      answered   a true instance of its phrase is right for it but taken by another answer,
                          or an earlier answer of its phrase is at the same place (`DUPLICATE_IOU`;
                          points: the same bin)
hallucinated   answered   its phrase is known not to be in the image
wrong_phrase   answered   it is right for a true instance of another phrase
wrong_place    answered   it is near (`NEAR_IOU`, `NEAR_POINT`) a true instance of its phrase that
                          no answer is right for, one to one
spurious       answered   none of these, and its phrase was asked for
missed         true       no answer is right for it, near it, or right for it but for the phrase
=============  =========  ==========================================================================

An answer is *right for* a true instance if a box or polygon has at least the threshold's IoU with
it, if a point lies on its mask, polygon or box, or within `POINT_ON_POINT` of its point. Answers
are paired one to one with the true instances of their phrase that they are right for
(`rexkit.geometry.match`); what is paired has no fault, and neither has an answer that is not paired
but lies in an ignored region of its phrase. Keypoint answers are judged by their boxes.

The kinds from duplicate to missed, their order and the lower threshold are in essence those of TIDE
(Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rexkit.geometry import (
    Mask,
    box_corners,
    box_coverage,
    box_iou,
    match,
    points_in_boxes,
    polygon_iou,
)
from rexkit.grammar.bins import LAST_BIN
from rexkit.instances import extent, has_outline, in_outlines, same_phrase
from rexkit.structures import Annotation, Array, Instance, Prediction

FAULT_KINDS: dict[str, str] = {
    "unparseable": "part of the answer cannot be read",
    "truncated": "the answer was cut off at the token limit",
    "not_asked": "a phrase in the answer was not asked for",
    "not_answered": "a phrase was asked for and not answered",
    "duplicate": "a thing is answered again",
    "hallucinated": "a thing is answered for a phrase that is not in the image",
    "wrong_phrase": "right place, other phrase",
    "wrong_place": "right phrase, near but not close enough",
    "spurious": "there is nothing of the phrase near it",
    "missed": "a thing in the image is not answered",
}
"""Every kind, with what it means to a reader; the table above defines them."""

LOSING_PROBLEMS = frozenset(
    (
        *("empty", "junk", "truncated", "unclosed_span", "odd_coordinates", "out_of_range"),
        *("no_geometry", "empty_phrase", "bad_json", "foreign_json"),
    )
)
"""Kinds of `rexkit.grammar.PROBLEM_KINDS` by which something written is lost."""

DUPLICATE_IOU = 0.9
NEAR_IOU = 0.1
NEAR_POINT = 0.05
"""How far a point may be from the box of what it is near, as a share of the image's diagonal."""
POINT_ON_POINT = 0.02
"""The same for a true point without extent; `rexkit.metrics.PointF1` takes it too."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one answer.

    Attributes:
        kind: one of `FAULT_KINDS`.
        phrase: which phrase, or "" where it is about the whole answer.
        detail: one sentence for a person.
        offset: where in the text of the answer, where it has a place there.
    """

    kind: str
    phrase: str = ""
    detail: str = ""
    offset: int | None = None


def find_faults(
    prediction: Prediction,
    truth: Annotation,
    phrases: Sequence[str],
    *,
    truncated: bool = False,
    iou: float = 0.5,
) -> list[Fault]:
    """Every fault of an answer, those of the answer first, then of phrases, then of instances.

    Args:
        prediction: as it was read.
        truth: what was asked for and is there, and what is known to be absent.
        phrases: what was asked for.
        truncated: whether the answer was cut off at the token limit.
        iou: from which IoU on a box or polygon is right.

    >>> cup = Instance("cup", bbox=np.array([0.0, 0, 10, 10]))
    >>> answer = Prediction((99, 99), [Instance("dog", bbox=np.array([0.0, 0, 10, 9]))], ["cup"])
    >>> [(f.kind, f.phrase) for f in find_faults(answer, Annotation((99, 99), [cup]), ["cup"])]
    [('not_asked', 'dog'), ('wrong_phrase', 'dog')]
    """
    return [
        *_of_answer(prediction, truncated),
        *_of_phrases(prediction, phrases),
        *_of_instances(prediction, truth, phrases, iou),
    ]


def _of_answer(prediction: Prediction, truncated: bool) -> list[Fault]:
    losing = LOSING_PROBLEMS - {"truncated"} if truncated else LOSING_PROBLEMS
    faults = [
        Fault("unparseable", detail=f"{p.kind}: {p.detail}", offset=p.offset)
        for p in prediction.problems
        if p.kind in losing
    ]
    if truncated:
        faults.append(Fault("truncated", offset=len(prediction.text)))
    return faults


def _of_phrases(prediction: Prediction, phrases: Sequence[str]) -> list[Fault]:
    answered, asked = dict.fromkeys(prediction.phrases), dict.fromkeys(phrases)
    return [Fault("not_asked", phrase) for phrase in answered if phrase not in asked] + [
        Fault("not_answered", phrase) for phrase in asked if phrase not in answered
    ]


def _of_instances(
    prediction: Prediction, truth: Annotation, phrases: Sequence[str], iou: float
) -> list[Fault]:
    answers = [i for i in prediction.instances if not i.ignore]
    truths = [i for i in truth.instances if not i.ignore]
    regions = [i for i in truth.instances if i.ignore]
    answered, wanted, ignored = ([i.phrase for i in x] for x in (answers, truths, regions))
    same = same_phrase(answered, wanted)
    overlap, near = _overlap(answers, truths, truth.image_size)
    right = overlap >= iou
    free, open_truths = np.ones(len(answers), np.bool_), np.ones(len(truths), np.bool_)
    paired, found = match(overlap * same, iou)
    free[paired], open_truths[found] = False, False
    excused = (_covered(answers, regions) >= iou) & same_phrase(answered, ignored)
    free &= ~excused.any(axis=1)
    again = (right & same & ~open_truths).any(axis=1) | _repeated(
        answers, same_phrase(answered, answered), truth.image_size
    )
    kinds: dict[str, Mask] = {}

    def take(kind: str, which: Mask) -> None:
        kinds[kind] = free & which
        free[kinds[kind]] = False

    take("hallucinated", _among(answered, truth.absent))
    take("duplicate", again)
    elsewhere = right & ~same
    take("wrong_phrase", np.asarray(elsewhere.any(axis=1)))
    close = near * same * free[:, None] * open_truths
    rows, columns = match(close, np.nextafter(0.0, 1.0))
    placed = np.zeros_like(free)
    placed[rows] = True
    take("wrong_place", placed)
    take("spurious", _among(answered, phrases))
    open_truths[columns] = False
    open_truths &= ~(elsewhere & kinds["wrong_phrase"][:, None]).any(axis=0)
    best = elsewhere.argmax(axis=1) if truths else np.zeros(len(answers), np.int64)
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    faults = []
    for kind, which in kinds.items():
        for row in np.flatnonzero(which).tolist():
            detail = _where(answers[row])
            if kind == "wrong_phrase":
                detail += f" is {wanted[best[row]]!r}"
            elif kind == "wrong_place":
                detail += f" for {_where(truths[partner[row]])}"
            faults.append(Fault(kind, answered[row], detail))
    missed = np.flatnonzero(open_truths).tolist()
    return faults + [Fault("missed", wanted[i], _where(truths[i])) for i in missed]


def _overlap(
    answers: Sequence[Instance], truths: Sequence[Instance], image_size: tuple[int, int]
) -> tuple[Array, Array]:
    """How right each answer is for each truth, and how near it is, both (N, M) in [0, 1].

    A point is right or not. Nearness is 0 where it is below its threshold.
    """
    boxes, true_boxes = _extents(answers), _extents(truths)
    overlap = box_iou(boxes, true_boxes)
    outlined = np.flatnonzero([i.polygon is not None and i.keypoints is None for i in answers])
    if len(outlined) and len(truths):
        boxed = [box_corners(box) for box in true_boxes]
        overlap[outlined] = polygon_iou(
            [o for i in outlined.tolist() if (o := answers[i].polygon) is not None],
            [b if t.polygon is None else t.polygon for t, b in zip(truths, boxed, strict=True)],
        )
    near = np.where(overlap >= NEAR_IOU, overlap, 0.0)
    pointed = np.flatnonzero([_is_point(i) for i in answers])
    if len(pointed) and len(truths):
        points = boxes[pointed, :2]
        diagonal = math.hypot(*image_size)
        overlap[pointed] = _on(points, truths, true_boxes, POINT_ON_POINT * diagonal)
        gap = _gap(points, true_boxes) / (NEAR_POINT * diagonal)
        near[pointed] = np.where(gap <= 1, 1.0 - gap / 2, 0.0)
    return overlap, near


def _on(points: Array, truths: Sequence[Instance], boxes: Array, radius: float) -> Mask:
    """Which points lie on which truths: (N, M)."""
    outlined = np.array([has_outline(truth) for truth in truths], np.bool_)
    inside = np.where(outlined, in_outlines(points, truths), points_in_boxes(points, boxes))
    dots = np.flatnonzero([_is_point(t) and t.mask is None for t in truths])
    inside[:, dots] = _gap(points, boxes[dots]) <= radius
    return inside


def _gap(points: Array, boxes: Array) -> Array:
    """The distance of each point from each box, 0 inside: (N, M)."""
    xy = points[:, None]
    beyond = np.maximum(np.maximum(boxes[:, :2] - xy, xy - boxes[:, 2:]), 0.0)
    return np.asarray(np.hypot(beyond[..., 0], beyond[..., 1]))


def _covered(answers: Sequence[Instance], regions: Sequence[Instance]) -> Array:
    """Which share of each answer lies in each ignored region: (N, M)."""
    boxes, around = _extents(answers), _extents(regions)
    points = np.array([_is_point(i) for i in answers], np.bool_).reshape(-1, 1)
    return np.where(points, points_in_boxes(boxes[:, :2], around), box_coverage(boxes, around))


def _repeated(answers: Sequence[Instance], same: Mask, image_size: tuple[int, int]) -> Mask:
    """Which answers are at the place of an earlier one of their phrase: (N,)."""
    boxes = _extents(answers)
    points = np.array([_is_point(i) for i in answers], np.bool_)
    bins = boxes[:, :2] / image_size * LAST_BIN
    spot = (np.abs(bins[:, None] - bins) < 1).all(axis=2) & points[:, None] & points
    there = (box_iou(boxes, boxes) >= DUPLICATE_IOU) | spot
    return np.asarray((np.tril(there & same, k=-1)).any(axis=1))


def _among(answered: Sequence[str], phrases: Sequence[str]) -> Mask:
    return np.asarray(same_phrase(answered, phrases).any(axis=1))


def _is_point(instance: Instance) -> bool:
    shapes = (instance.bbox, instance.polygon, instance.keypoints)
    return instance.point is not None and all(shape is None for shape in shapes)


def _extents(instances: Sequence[Instance]) -> Array:
    """The box around each instance: (N, 4); a point's has no area, and NaN is around nothing."""
    return np.array([extent(i) for i in instances], dtype=np.float64).reshape(-1, 4)


def _where(instance: Instance) -> str:
    """An instance's place in whole pixels, for people."""
    box = extent(instance)
    if not np.isfinite(box).all():
        return "nowhere"
    corners = box[:2] if _is_point(instance) else box
    return f"[{', '.join(str(round(x)) for x in corners.tolist())}]"
