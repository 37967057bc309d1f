"""How unsure a model is of its predictions on an image: by their scores, and by several prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rexkit.evaluation.fault_geometry import overlap_and_nearness
from rexkit.geometry import match
from rexkit.instances import same_phrase
from rexkit.phrases import normalise_phrase
from rexkit.structures import Prediction

SAME = 0.5
"""The overlap from which on two predictions mean the same instance."""


@dataclass(frozen=True)
class Uncertainty:
    """How unsure a model is of what it found in an image.

    Attributes:
        doubt: 1 minus the mean score of the instances, in [0, 1]; NaN where none has a score.
        disagreement: 1 minus the F1 between the predictions for several prompts, or of several
            models, in [0, 1]; NaN where there is one prediction.
    """

    doubt: float
    disagreement: float

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Uncertainty:
        """Return the uncertainty of predictions on the same image.

        Args:
            predictions: one or more, of other prompts or other models.
        """
        scores = [i.score for p in predictions for i in p.instances if i.score is not None]
        pairs = [agreement(a, b) for a, b in combinations(predictions, 2)]
        return cls(
            1 - float(np.mean(scores)) if scores else float("nan"),
            1 - float(np.mean(pairs)) if pairs else float("nan"),
        )


def agreement(one: Prediction, other: Prediction) -> float:
    """Return the F1 of one prediction measured against another: 1 where both found the same.

    Instances are the same if their phrases are, in whatever spelling, and they overlap by `SAME`
    at least; a point is on a box that it is in.

    >>> from rexkit.structures import Instance
    >>> cup = Prediction((9, 9), [Instance("cup", bbox=[0, 0, 4, 4])])
    >>> agreement(cup, cup), agreement(cup, Prediction((9, 9)))
    (1.0, 0.0)
    """
    a, b = list(one.instances), list(other.instances)
    if not a or not b:
        return float(not a and not b)
    names = [[normalise_phrase(i.phrase) for i in side] for side in (a, b)]
    overlap = overlap_and_nearness(a, b, one.image_size)[0] * same_phrase(*names)
    return 2 * len(match(overlap, SAME)[0]) / (len(a) + len(b))
