"""Rewards of a prediction as a whole: format, length, number of instances, rejection."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rexkit.phrases import as_asked
from rexkit.registry import REWARDS
from rexkit.structures import Annotation, Prediction


@REWARDS.register_module("rejection")
def rejection(prediction: Prediction, target: Annotation, strict_phrases: bool = False) -> float:
    """Return the fraction of absent phrases that are rejected with ``None``; 1 if none is absent.

    Args:
        prediction: the prediction.
        target: the ground truth.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    absent = set(target.absent)
    if not absent:
        return 1.0
    prediction = prediction if strict_phrases else as_asked(prediction, target.phrases)
    predicted = {i.phrase for i in prediction.instances}
    return len(absent & set(prediction.absent) - predicted) / len(absent)


@REWARDS.register_module("format")
def well_formed(prediction: Prediction, target: Annotation) -> float:
    """Return 1 for a text that follows the grammar without a problem, else 0.

    Args:
        prediction: the prediction.
        target: the ground truth, which is not used.

    Returns:
        The reward, 0 or 1.
    """
    return float(not prediction.problems)


@REWARDS.register_module("count")
def count(prediction: Prediction, target: Annotation, strict_phrases: bool = False) -> float:
    """Return how close the number of instances is to the ground truth, as a mean over phrases.

    The score of a phrase is 1 - |predicted - true| / max(predicted, true), or 1 if both are 0.
    Predicted phrases that were not asked for count too.

    Args:
        prediction: the prediction.
        target: the ground truth.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].
    """
    prediction = prediction if strict_phrases else as_asked(prediction, target.phrases)
    true = Counter(i.phrase for i in target.instances if not i.ignore)
    predicted = Counter(i.phrase for i in prediction.instances)
    phrases = list(dict.fromkeys([*target.phrases, *predicted]))
    if not phrases:
        return 1.0
    table = np.array([[predicted[p], true[p]] for p in phrases], dtype=np.float64)
    larger = table.max(axis=1)
    error = np.abs(table[:, 0] - table[:, 1]) / np.maximum(larger, 1.0)
    return float(1.0 - error.mean())


@REWARDS.register_module("length")
def length(
    prediction: Prediction, target: Annotation, soft_limit: int = 2000, hard_limit: int = 4000
) -> float:
    """Return 1 for texts up to a soft limit, falling linearly to 0 at a hard limit.

    This is the soft overlong punishment of DAPO (arXiv:2503.14476, equation 13), shifted from
    [-1, 0] to [0, 1].

    Args:
        prediction: the prediction, with its text.
        target: the ground truth, which is not used.
        soft_limit: the longest text with the full reward, in characters.
        hard_limit: the shortest text with no reward, in characters.

    Returns:
        The reward in [0, 1].

    Raises:
        ValueError: the soft limit is negative or not below the hard one.
    """
    if not 0 <= soft_limit < hard_limit:
        raise ValueError(
            f"soft_limit={soft_limit} must be at least 0 and below hard_limit={hard_limit}"
        )
    remaining = (hard_limit - len(prediction.text)) / (hard_limit - soft_limit)
    return float(np.clip(remaining, 0.0, 1.0))
