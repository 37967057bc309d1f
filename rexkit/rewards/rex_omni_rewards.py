"""The rewards of the public Rex-Omni code to the letter, as the option ``variant="rex_omni"``.

They differ from the default in what an absent phrase is worth: here only boxes (or points) count,
so ``None`` is neither right nor wrong, and a box for an absent phrase is a wrong prediction. If the
image has nothing that was asked for, the reward is 1 without any prediction and 0 otherwise. A
bin is a thousandth of the image (the default divides by 999, as the bins are written), predicted
boxes without area do not count, phrases are compared character by character, and of a text that was
cut off only whole spans count.

The formulas are those of finetuning/verl/configs/reward_func.py in the repository
IDEA-Research/Rex-Omni; ``benchmarks/fidelity/rewards.py`` compares both. They are for responses
whose coordinates are bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from rexkit.geometry import Mask, box_iou
from rexkit.grammar import BOX_END, read
from rexkit.grammar.bins import NUM_BINS, to_bins
from rexkit.instances import same_phrase
from rexkit.structures import Annotation, Array, Instance, Prediction

Variant = Literal["rexkit", "rex_omni"]
"""Which formula a reward uses: rexkit's, or that of the public Rex-Omni code."""


def rex_omni_box_iou(prediction: Prediction, target: Annotation) -> float:
    """Return the harmonic mean of precision and recall over predicted and ground-truth boxes.

    Each is a mean of best IoUs with a box of the other side and the same phrase.
    """
    targets = [i for i in target.instances if i.bbox is not None and not i.ignore]
    predicted = _counted(prediction, target, lambda i: i.bbox)
    boxes = _coordinates([i.bbox for i in predicted], 4, target)
    has_area = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    boxes, predicted = boxes[has_area], [predicted[n] for n in np.flatnonzero(has_area)]
    if not targets or not predicted:
        return float(not targets and not predicted)
    overlap = box_iou(boxes, np.array([i.bbox for i in targets])) * _same(predicted, targets)
    precision, recall = overlap.max(axis=1).mean(), overlap.max(axis=0).mean()
    return _harmonic_mean(precision, recall)


def rex_omni_point_f1(
    prediction: Prediction,
    target: Annotation,
    has_region: Callable[[Instance], bool],
    inside: Callable[[Array, Sequence[Instance]], Mask],
) -> float:
    """Return the F1 of points, each region of the ground truth in turn taking the first in it.

    Args:
        prediction: the prediction.
        target: the ground truth.
        has_region: whether an instance has the region that points are looked for in.
        inside: tells which of (N, 2) points lie in which regions: (N, M).
    """
    targets = [i for i in target.instances if has_region(i) and not i.ignore]
    predicted = _counted(prediction, target, lambda i: i.point)
    if not targets or not predicted:
        return float(not targets and not predicted)
    points = _coordinates([i.point for i in predicted], 2, target)
    free = np.asarray(inside(points, targets) & _same(predicted, targets))
    matched = 0
    for number in range(len(targets)):
        found = np.flatnonzero(free[:, number])
        if len(found):
            matched += 1
            free[found[0]] = False
    return _harmonic_mean(matched / len(predicted), matched / len(targets))


def _counted(
    prediction: Prediction, target: Annotation, geometry: Callable[[Instance], Any]
) -> list[Instance]:
    """Return the predicted instances that count: none of a phrase that is ignored altogether."""
    prediction = _whole_spans(prediction)
    ignored = {i.phrase for i in target.instances if i.ignore}
    ignored -= {i.phrase for i in target.instances if not i.ignore}
    return [i for i in prediction.instances if geometry(i) is not None and i.phrase not in ignored]


def _whole_spans(prediction: Prediction) -> Prediction:
    """Return the prediction without a span that the text stops in."""
    if all(problem.kind != "truncated" for problem in prediction.problems):
        return prediction
    spans, end, _ = prediction.text.rpartition(BOX_END)
    return read(spans + end, prediction.image_size)


def _coordinates(values: Sequence[Any], width: int, target: Annotation) -> Array:
    """Return predicted coordinates as thousandths of the image, (N, width) in pixels."""
    bins = to_bins(np.array(values, dtype=np.float64).reshape(-1, width), target.image_size)
    return np.asarray(bins / float(NUM_BINS) * np.resize(target.image_size, width))


def _same(predicted: Sequence[Instance], targets: Sequence[Instance]) -> Mask:
    return same_phrase([i.phrase for i in predicted], [i.phrase for i in targets])


def _harmonic_mean(precision: float, recall: float) -> float:
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0
