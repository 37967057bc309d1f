"""The shares of a mixture: by numbers, by temperature, and under caps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rexkit.structures import Array


def temperature_shares(sizes: Sequence[float], temperature: float) -> Array:
    """Return shares that grow with the size of a source, the less the higher the temperature.

    They are proportional to ``size ** (1 / temperature)``: at 1 those of the sizes, far above 1
    all alike (J. Devlin, multilingual BERT, 2018; N. Arivazhagan et al., "Massively Multilingual
    Neural Machine Translation in the Wild", 2019).

    Args:
        sizes: of the sources, above 0.
        temperature: 1 or more.

    >>> temperature_shares([900, 100], 2.0).round(2).tolist()
    [0.75, 0.25]
    """
    logs = np.log(np.asarray(sizes, dtype=np.float64)) / temperature
    weights = np.exp(logs - logs.max())
    shares: Array = weights / weights.sum()
    return shares


def check_temperature(temperature: Any) -> None:
    """Raise a ValueError unless a temperature is a number of 1 or more."""
    if not isinstance(temperature, int | float) or not 1 <= temperature < math.inf:
        raise ValueError(
            f"temperature: must be a number of 1 (shares by size) or more, got {temperature!r}"
        )


def capped_targets(shares: Array, total: float, caps: Array) -> Array:
    """Return how many examples each source has, none more than its cap.

    What a cap takes away goes to the other sources, in proportion to their shares.

    Args:
        shares: (N,) of the sources, in sum 1.
        total: number of examples.
        caps: (N,) the most examples of each source; infinity for no cap.

    Returns:
        (N,) in sum ``total``, or less if the caps of the sources with a share do not reach it.

    >>> capped_targets(np.array([0.5, 0.25, 0.25]), 100, np.array([20, np.inf, np.inf])).tolist()
    [20.0, 40.0, 40.0]
    """
    found: Array = np.zeros(len(shares))
    free = shares > 0
    while free.any():
        wanted = shares * (total - found.sum()) / shares[free].sum()
        full = free & (wanted > caps)
        if not full.any():
            found[free] = wanted[free]
            break
        found[full] = caps[full]
        free &= ~full
    return found


def apportioned(targets: Array, total: int) -> list[int]:
    """Return whole numbers with a given sum, each near its target (largest remainder).

    >>> apportioned(np.array([1.4, 1.4, 1.2]), 4)
    [2, 1, 1]
    """
    positive = np.maximum(targets, 0)
    counts = np.floor(positive).astype(np.int64)
    by_remainder = np.argsort(-(positive - counts), kind="stable")
    missing = total - int(counts.sum())
    for i in range(abs(missing)):
        if missing > 0:
            counts[by_remainder[i % len(counts)]] += 1
        else:
            counts[int(np.argmax(counts))] -= 1
    return [int(count) for count in counts]
