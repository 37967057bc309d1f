"""Rewards of the answer as a whole: its form, its length, how many, and what is not there."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rexkit.registry import REWARDS
from rexkit.structures import Annotation, Prediction


@REWARDS.register_module("rejection")
def rejection(prediction: Prediction, target: Annotation) -> float:
    """The share of absent phrases that are answered ``None``; 1 where none is absent."""
    absent = set(target.absent)
    if not absent:
        return 1.0
    claimed = {i.phrase for i in prediction.instances}
    return len(absent & set(prediction.absent) - claimed) / len(absent)


@REWARDS.register_module("format")
def well_formed(prediction: Prediction, target: Annotation) -> float:
    """1 for an answer that reads without a problem, else 0."""
    return float(not prediction.problems)


@REWARDS.register_module("count")
def count(prediction: Prediction, target: Annotation) -> float:
    """How nearly the number of instances is right, as a mean over phrases.

    Of a phrase: 1 - |answered - true| / max(answered, true), and 1 where both are none. Phrases
    that were not asked for but answered count too.
    """
    true = Counter(i.phrase for i in target.instances if not i.ignore)
    answered = Counter(i.phrase for i in prediction.instances)
    phrases = list(dict.fromkeys([*target.phrases, *answered]))
    if not phrases:
        return 1.0
    table = np.array([[answered[p], true[p]] for p in phrases], dtype=np.float64)
    most = table.max(axis=1)
    missed = np.abs(table[:, 0] - table[:, 1]) / np.maximum(most, 1.0)
    return float(1.0 - missed.mean())


@REWARDS.register_module("length")
def length(prediction: Prediction, target: Annotation, free: int = 2000, most: int = 4000) -> float:
    """1 up to a length, falling evenly to 0 at another, in characters of the answer.

    The form is that of the soft overlong punishment of DAPO (arXiv 2503.14476, equation 13), moved
    from [-1, 0] to [0, 1].

    Args:
        prediction: the answer.
        target: the truth; it is not looked at.
        free: how long an answer may be at no cost.
        most: from where on it is worth nothing.
    """
    if not 0 <= free < most:
        raise ValueError(f"free={free} must be less than most={most}")
    return float(np.clip((most - len(prediction.text)) / (most - free), 0.0, 1.0))
