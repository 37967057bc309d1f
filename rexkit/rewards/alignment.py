"""What is compared in a reward: the items of an answer with those of the truth.

An item is an instance with the geometry a reward looks at, or a ``None``: the answer that a phrase
is not in the image. A ``None`` is right where the phrase is absent, so absent phrases weigh as
much as single instances, and a model that finds nothing to say about them is not paid for silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rexkit.instances import same_phrase
from rexkit.structures import Annotation, Array, Instance, Prediction

Similarity = Callable[[Sequence[Instance], Sequence[Instance]], Array]
"""How alike every answered instance is to every true one: (N, M) in [0, 1]."""


@dataclass(slots=True)
class Comparison:
    """An answer laid beside its truth.

    Attributes:
        likeness: (N, M) of answered and true instances; 0 for those of different phrases.
        answers: how many items the answer has, each ``None`` about a phrase asked for included.
        truths: how many items there are to find, each absent phrase included.
        rejected: how many absent phrases are answered ``None`` and nothing else.
    """

    likeness: Array
    answers: int
    truths: int
    rejected: int

    def f1(self, hits: float) -> float:
        """2 · hits / (answers + truths), the rejections added to the hits; 1 of nothing."""
        whole = self.answers + self.truths
        return 2 * (hits + self.rejected) / whole if whole else 1.0


def compare(
    prediction: Prediction,
    target: Annotation,
    similarity: Similarity,
    answers_with: Callable[[Instance], Any],
    truths_with: Callable[[Instance], Any] | None = None,
) -> Comparison:
    """Lay an answer beside its truth.

    Ignored instances of the truth are not looked for; an answer about a phrase of which all
    instances are ignored counts neither for nor against.

    Args:
        prediction: the answer.
        target: the truth.
        similarity: of instances that have the geometry to look at.
        answers_with: whether an answered instance has it; one without it is wrong.
        truths_with: whether a true instance has it; left out, the same as for answers.
    """
    can_be_found = truths_with or answers_with
    truths = [i for i in target.instances if not i.ignore and can_be_found(i)]
    excused = {i.phrase for i in target.instances if i.ignore} - {i.phrase for i in truths}
    answered = [i for i in prediction.instances if i.phrase not in excused]
    looked_at = [i for i in answered if answers_with(i)]
    absent = set(target.absent)
    denied = {p for p in prediction.absent if p in absent or any(p == t.phrase for t in truths)}
    likeness = similarity(looked_at, truths) * same_phrase(
        [i.phrase for i in looked_at], [i.phrase for i in truths]
    )
    return Comparison(
        likeness, len(answered) + len(denied), len(truths) + len(absent), len(denied & absent)
    )
