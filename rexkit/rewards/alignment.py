"""Alignment of a prediction with its ground truth, which the rewards of geometry share.

An item is an instance with the geometry that a reward compares, or a ``None``: the prediction that
a phrase is not in the image. A ``None`` is right where the phrase is absent, so an absent phrase
weighs as much as one instance, and a model that does not mention absent phrases is not rewarded.

A phrase that was asked for in another spelling is the same phrase (`rexkit.phrases`), and where the
target has one phrase, that of the prediction is not compared. With ``strict_phrases`` they are
compared character by character.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rexkit.instances import same_phrase
from rexkit.phrases import as_asked
from rexkit.structures import Annotation, Array, Instance, Prediction

Similarity = Callable[[Sequence[Instance], Sequence[Instance]], Array]
"""The similarity of N predicted to M target instances: (N, M) in [0, 1]."""


@dataclass(slots=True)
class Alignment:
    """A prediction beside its ground truth.

    Attributes:
        similarity: (N, M) of predicted and target instances; 0 for those of different phrases.
        num_predictions: the number of predicted items, each ``None`` for a phrase of the question
            included.
        num_targets: the number of target items, each absent phrase included.
        num_rejected: the number of absent phrases predicted as ``None`` and nothing else.
    """

    similarity: Array
    num_predictions: int
    num_targets: int
    num_rejected: int

    def f1(self, true_positives: float) -> float:
        """Return 2 · TP / (predictions + targets), rejected phrases counting as true positives.

        Args:
            true_positives: the number of matched instances, or the sum of their similarities.

        Returns:
            The F1 in [0, 1]; 1 if there are neither predictions nor targets.
        """
        total = self.num_predictions + self.num_targets
        return 2 * (true_positives + self.num_rejected) / total if total else 1.0


def align(
    prediction: Prediction,
    target: Annotation,
    similarity: Similarity,
    has_geometry: Callable[[Instance], Any],
    target_has_geometry: Callable[[Instance], Any] | None = None,
    strict_phrases: bool = False,
) -> Alignment:
    """Compare the instances of a prediction with those of its ground truth.

    Ignored target instances need not be found; predictions of a phrase whose target instances are
    all ignored count neither as right nor as wrong.

    Args:
        prediction: the prediction.
        target: the ground truth.
        similarity: the similarity of instances that have the geometry.
        has_geometry: whether a predicted instance has the geometry; one without it is wrong.
        target_has_geometry: whether a target instance has it; by default ``has_geometry``.
        strict_phrases: compare phrases character by character.

    Returns:
        The similarities and the counts of both sides.
    """
    prediction = prediction if strict_phrases else as_asked(prediction, target.phrases)
    can_be_found = target_has_geometry or has_geometry
    targets = [i for i in target.instances if not i.ignore and can_be_found(i)]
    ignored = {i.phrase for i in target.instances if i.ignore} - {i.phrase for i in targets}
    predicted = [i for i in prediction.instances if i.phrase not in ignored]
    compared = [i for i in predicted if has_geometry(i)]
    absent = set(target.absent)
    nones = {p for p in prediction.absent if p in absent or any(p == t.phrase for t in targets)}
    same = same_phrase([i.phrase for i in compared], [i.phrase for i in targets])
    return Alignment(
        similarity(compared, targets) * same,
        num_predictions=len(predicted) + len(nones),
        num_targets=len(targets) + len(absent),
        num_rejected=len(nones & absent),
    )
