"""The faults of a prediction: what is wrong with it, by kind.

Faults are of three levels. A response, a phrase and an instance may be faulty at the same time, but
an instance has at most one fault. A *prediction* here is one predicted instance, a *target* one
instance of the ground truth.

=============  ==========  =========================================================================
kind           of          when
=============  ==========  =========================================================================
unparseable    response    a problem of its text by which a part of the response is lost
                           (`LOSING_PROBLEMS`); one for each such problem. An unfinished span
                           counts here only if the token limit did not cut it off
truncated      response    it was cut off at the token limit
not_asked      phrase      it is in the response, with instances or None, and was not asked for
not_answered   phrase      it was asked for, and the response has neither an instance of it nor None
duplicate      prediction  a target of its phrase is right for it but taken by another prediction,
                           or an earlier prediction of its phrase is at the same location
                           (`DUPLICATE_IOU`; points: the same bin)
hallucinated   prediction  its phrase is known not to be in the image
wrong_phrase   prediction  it is right for a target of another phrase
wrong_place    prediction  it is near (`NEAR_IOU`, `NEAR_POINT`) a target of its phrase that no
                           prediction is right for, one to one
spurious       prediction  none of these, and its phrase was asked for
missed         target      no prediction is right for it, near it, or right for it but for the
                           phrase
=============  ==========  =========================================================================

A prediction is *right for* a target if a box or polygon has at least the threshold's IoU with it,
if a point is on its mask, polygon or box, or within `POINT_ON_POINT` of its point. Predictions
are paired one to one with the targets of their phrase that they are right for
(`rexkit.geometry.match`); what is paired has no fault, and neither has a prediction that is not
paired but is in an ignored region of its phrase. Keypoint predictions are judged by their boxes.

The thresholds are those of `rexkit.evaluation.fault_geometry`.

Without ground truth only the faults of responses and phrases are found, and duplicates at the same
location.

The kinds from duplicate to missed, their order and the lower threshold are in essence those of TIDE
(Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rexkit.evaluation.fault_geometry import coverage, is_point, overlap_and_nearness, repeated
from rexkit.geometry import Mask, match
from rexkit.instances import extent, same_phrase
from rexkit.phrases import as_asked
from rexkit.structures import Annotation, Instance, Prediction

FAULT_KINDS: dict[str, str] = {
    "unparseable": "part of the response cannot be read",
    "truncated": "the response was cut off at the token limit",
    "not_asked": "a phrase in the response was not asked for",
    "not_answered": "a phrase was asked for and is not in the response",
    "duplicate": "an object is predicted again",
    "hallucinated": "an object is predicted for a phrase that is not in the image",
    "wrong_phrase": "right location, other phrase",
    "wrong_place": "right phrase, near but not close enough",
    "spurious": "no object of the phrase is near it",
    "missed": "an object in the image is not predicted",
}
"""Every kind, with its meaning in a few words; the module docstring defines them."""

LOSING_PROBLEMS = frozenset(
    (
        *("empty", "junk", "truncated", "unclosed_span", "odd_coordinates", "out_of_range"),
        *("no_geometry", "empty_phrase", "bad_json", "foreign_json"),
    )
)
"""Kinds of `rexkit.grammar.PROBLEM_KINDS` by which a part of the response is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one response.

    Attributes:
        kind: one of `FAULT_KINDS`.
        phrase: the phrase, or "" if the fault is of the whole response.
        detail: a readable description.
        offset: position in the text of the response, in characters, if there is one.
    """

    kind: str
    phrase: str = ""
    detail: str = ""
    offset: int | None = None


def find_faults(
    prediction: Prediction,
    target: Annotation | None,
    phrases: Sequence[str],
    *,
    truncated: bool = False,
    iou: float = 0.5,
) -> list[Fault]:
    """Return every fault of a prediction: of the response, then of phrases, then of instances.

    Args:
        prediction: as it was parsed.
        target: the ground truth of the phrases, with its absent phrases; None if it is not known.
        phrases: the phrases that were asked for.
        truncated: whether the response was cut off at the token limit.
        iou: lowest IoU at which a box or polygon is correct, in (0, 1].

    >>> cup = Instance("cup", bbox=np.array([0.0, 0, 10, 10]))
    >>> dog = Instance("dog", bbox=np.array([0.0, 0, 10, 9]))
    >>> prediction = Prediction((99, 99), [dog], ["cup"])
    >>> faults = find_faults(prediction, Annotation((99, 99), [cup]), ["cup"])
    >>> [(fault.kind, fault.phrase) for fault in faults]
    [('not_asked', 'dog'), ('wrong_phrase', 'dog')]
    """
    prediction = as_asked(prediction, list(dict.fromkeys(phrases)), ignore_single=False)
    return [
        *_of_response(prediction, truncated),
        *_of_phrases(prediction, phrases),
        *(
            _of_repetitions(prediction)
            if target is None
            else _of_instances(prediction, target, phrases, iou)
        ),
    ]


def _of_response(prediction: Prediction, truncated: bool) -> list[Fault]:
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
    predicted, requested = dict.fromkeys(prediction.phrases), dict.fromkeys(phrases)
    return [Fault("not_asked", phrase) for phrase in predicted if phrase not in requested] + [
        Fault("not_answered", phrase) for phrase in requested if phrase not in predicted
    ]


def _of_repetitions(prediction: Prediction) -> list[Fault]:
    """Return the duplicates that can be found without ground truth."""
    instances = list(prediction.instances)
    phrases = [instance.phrase for instance in instances]
    again = repeated(instances, same_phrase(phrases, phrases), prediction.image_size)
    return [
        Fault("duplicate", phrases[row], _where(instances[row]))
        for row in np.flatnonzero(again).tolist()
    ]


def _of_instances(
    prediction: Prediction, target: Annotation, phrases: Sequence[str], iou: float
) -> list[Fault]:
    predictions = [i for i in prediction.instances if not i.ignore]
    targets = [i for i in target.instances if not i.ignore]
    regions = [i for i in target.instances if i.ignore]
    predicted, wanted, ignored = ([i.phrase for i in x] for x in (predictions, targets, regions))
    same = same_phrase(predicted, wanted)
    overlap, near = overlap_and_nearness(predictions, targets, target.image_size)
    right = overlap >= iou
    free, unmatched = np.ones(len(predictions), np.bool_), np.ones(len(targets), np.bool_)
    paired, found = match(overlap * same, iou)
    free[paired], unmatched[found] = False, False
    excused = (coverage(predictions, regions) >= iou) & same_phrase(predicted, ignored)
    free &= ~excused.any(axis=1)
    again = (right & same & ~unmatched).any(axis=1) | repeated(
        predictions, same_phrase(predicted, predicted), target.image_size
    )
    kinds: dict[str, Mask] = {}

    def take(kind: str, which: Mask) -> None:
        kinds[kind] = free & which
        free[kinds[kind]] = False

    take("hallucinated", _among(predicted, target.absent))
    take("duplicate", again)
    elsewhere = right & ~same
    take("wrong_phrase", np.asarray(elsewhere.any(axis=1)))
    close = near * same * free[:, None] * unmatched
    rows, columns = match(close, np.nextafter(0.0, 1.0))
    placed = np.zeros_like(free)
    placed[rows] = True
    take("wrong_place", placed)
    take("spurious", _among(predicted, phrases))
    unmatched[columns] = False
    unmatched &= ~(elsewhere & kinds["wrong_phrase"][:, None]).any(axis=0)
    best = elsewhere.argmax(axis=1) if targets else np.zeros(len(predictions), np.int64)
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    faults = []
    for kind, which in kinds.items():
        for row in np.flatnonzero(which).tolist():
            detail = _where(predictions[row])
            if kind == "wrong_phrase":
                detail += f" is {wanted[best[row]]!r}"
            elif kind == "wrong_place":
                detail += f" for {_where(targets[partner[row]])}"
            faults.append(Fault(kind, predicted[row], detail))
    missed = np.flatnonzero(unmatched).tolist()
    return faults + [Fault("missed", wanted[i], _where(targets[i])) for i in missed]


def _among(predicted: Sequence[str], phrases: Sequence[str]) -> Mask:
    return np.asarray(same_phrase(predicted, phrases).any(axis=1))


def _where(instance: Instance) -> str:
    """Return an instance's location in whole pixels, for messages."""
    box = extent(instance)
    if not np.isfinite(box).all():
        return "nowhere"
    corners = box[:2] if is_point(instance) else box
    return f"[{', '.join(str(round(x)) for x in corners.tolist())}]"
