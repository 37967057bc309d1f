"""Reward of OCR."""

from __future__ import annotations

from collections.abc import Sequence

from rexkit.edit_distance import edit_distance
from rexkit.geometry import match, polygon_coverage, polygon_iou
from rexkit.instances import outline
from rexkit.phrases import asked_spellings
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import Alignment
from rexkit.structures import Annotation, Array, Instance, Prediction


@REWARDS.register_module("ocr_text")
def ocr_text(prediction: Prediction, target: Annotation, threshold: float = 0.5) -> float:
    """Return how well text is detected and recognised.

    The reward is 2 · Σ (1 - distance) / (predictions + targets) over the pairs of texts that are
    matched one to one by their outlines. The distance of a pair is the edit distance of its texts
    divided by the length of the longer one, without surrounding white space. As in `OCRHmean`,
    phrases are not compared, and a prediction that lies by more than half in an ignored region
    counts neither as right nor as wrong. ``None`` is right where there is no text.

    Args:
        prediction: the prediction.
        target: the ground truth.
        threshold: the least IoU of a pair.

    Returns:
        The reward in [0, 1].

    >>> import numpy as np
    >>> box = np.array([0.0, 0, 50, 10])
    >>> target = Annotation((99, 99), [Instance("word", bbox=box, text="EXIT")])
    >>> ocr_text(Prediction((99, 99), [Instance("EXlT", bbox=box, text="EXlT")]), target)
    0.75
    """
    predictions = [i for i in prediction.instances if _has_polygon_or_box(i)]
    targets = [i for i in target.instances if _has_polygon_or_box(i) and not i.ignore]
    regions = [i for i in target.instances if _has_polygon_or_box(i) and i.ignore]
    num_ignored = 0
    if regions and predictions:
        ignored = polygon_coverage(_outlines(predictions), _outlines(regions)).max(axis=1) > 0.5
        predictions = [i for i, out in zip(predictions, ignored, strict=True) if not out]
        num_ignored = int(ignored.sum())
    overlap = polygon_iou(_outlines(predictions), _outlines(targets))
    pairs = zip(*match(overlap, threshold), strict=True)
    similarity = sum(_text_similarity(predictions[i], targets[j]) for i, j in pairs)
    absent = set(target.absent)
    said = asked_spellings(prediction.absent, target.phrases).values()
    nones = {p for p in said if p in absent or any(p == t.phrase for t in targets)}
    alignment = Alignment(
        overlap,
        num_predictions=len(prediction.instances) - num_ignored + len(nones),
        num_targets=len(targets) + len(absent),
        num_rejected=len(nones & absent),
    )
    return alignment.f1(similarity)


def _text_similarity(prediction: Instance, target: Instance) -> float:
    read, true = ((i.text or "").strip() for i in (prediction, target))
    return 1.0 - edit_distance(read, true) / max(len(read), len(true), 1)


def _outlines(instances: Sequence[Instance]) -> list[Array]:
    return [outline(i) for i in instances]


def _has_polygon_or_box(instance: Instance) -> bool:
    return instance.polygon is not None or instance.bbox is not None
