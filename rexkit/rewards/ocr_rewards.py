"""Rewards of text that is found and read."""

from __future__ import annotations

from collections.abc import Sequence

from rexkit.edit_distance import edit_distance
from rexkit.geometry import match, polygon_coverage, polygon_iou
from rexkit.instances import outline
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import Comparison
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("ocr_text")
def ocr_text(prediction: Prediction, target: Annotation, threshold: float = 0.5) -> float:
    """How well text is found and read: 2 · Σ (1 - distance) / (answers + truths).

    Answers and true texts are paired one to one where their outlines overlap. The distance of a
    pair is the edit distance of its texts by the length of the longer one, but for white space
    around them; a missed text and a false answer have 1. As in `OCRHmean`, phrases play no part,
    and an answer more than half of which lies in an ignored region counts neither for nor against.
    ``None`` is right where there is no text.

    Args:
        prediction: the answer.
        target: the truth.
        threshold: the least IoU of a pair.

    >>> import numpy as np
    >>> box = np.array([0.0, 0, 50, 10])
    >>> truth = Annotation((99, 99), [Instance("word", bbox=box, text="EXIT")])
    >>> ocr_text(Prediction((99, 99), [Instance("EXlT", bbox=box, text="EXlT")]), truth)
    0.75
    """
    answers = [i for i in prediction.instances if _has_outline(i)]
    truths = [i for i in target.instances if _has_outline(i) and not i.ignore]
    regions = [i for i in target.instances if _has_outline(i) and i.ignore]
    excused = 0
    if regions and answers:
        ignored = polygon_coverage(_outlines(answers), _outlines(regions)).max(axis=1) > 0.5
        answers = [i for i, out in zip(answers, ignored, strict=True) if not out]
        excused = int(ignored.sum())
    overlap = polygon_iou(_outlines(answers), _outlines(truths))
    pairs = zip(*match(overlap, threshold), strict=True)
    read = sum(_likeness(answers[i], truths[j]) for i, j in pairs)
    absent = set(target.absent)
    denied = {p for p in prediction.absent if p in absent or any(p == t.phrase for t in truths)}
    found = Comparison(
        overlap,
        answers=len(prediction.instances) - excused + len(denied),
        truths=len(truths) + len(absent),
        rejected=len(denied & absent),
    )
    return found.f1(read)


def _likeness(answer: Instance, truth: Instance) -> float:
    said, true = ((i.text or "").strip() for i in (answer, truth))
    return 1.0 - edit_distance(said, true) / max(len(said), len(true), 1)


def _outlines(instances: Sequence[Instance]) -> list[Array]:
    return [outline(i) for i in instances]


def _has_outline(instance: Instance) -> bool:
    return instance.polygon is not None or instance.bbox is not None
