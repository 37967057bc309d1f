"""Arguments of transforms, checked, and what is drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Span = tuple[float, float]
"""Smallest and largest value of what is drawn evenly."""


def check_span(name: str, span: Sequence[float], low: float, high: float) -> Span:
    """Return a span as two numbers.

    Raises:
        ValueError: it is not two ascending numbers from ``low`` to ``high``.
    """
    values = tuple(span) if isinstance(span, (list, tuple)) else ()
    numbers = len(values) == 2 and all(isinstance(v, (int, float)) for v in values)
    if not numbers or not low <= values[0] <= values[1] <= high:
        raise ValueError(
            f"{name}: expected two ascending numbers from {low:g} to {high:g}, got {span!r}"
        )
    return float(values[0]), float(values[1])


def check_share(name: str, share: float) -> float:
    """Return a probability or share.

    Raises:
        ValueError: it is no number in [0, 1].
    """
    if not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {share!r}")
    return float(share)


def happens(probability: float, rng: np.random.Generator) -> bool:
    """Tell whether something of a probability happens."""
    return bool(rng.random() < probability)
