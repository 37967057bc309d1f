"""Which negative categories a question asks for: any, confusable ones, or co-occurring ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from rexkit.phrases import normalise_phrase

KINDS = ("random", "confusable", "cooccurring")

ROWS = 200_000
"""How many rows co-occurrence is counted in."""


class NegativeSampler:
    """Draws negative categories for the phrases of an image.

    - "random": any category.
    - "confusable": names like one of the phrases, by the words and the letter triples they share:
      "wine glass" for "glass", "fire truck" for "truck".
    - "cooccurring": names that other images of the dataset have beside one of the phrases, by the
      number of such images: "keyboard" where there is a mouse and no keyboard.

    Args:
        kinds: one of these, or a share for each: ``dict(confusable=0.5, random=0.5)``.

    Raises:
        ValueError: there is no such kind, or a share is below 0.
    """

    def __init__(self, kinds: str | Mapping[str, float] = "random"):
        shares = {kinds: 1.0} if isinstance(kinds, str) else kinds
        if not isinstance(shares, Mapping) or not shares:
            raise ValueError(f"negatives: must be one of {KINDS}, or a dict of shares: {kinds!r}")
        for kind, share in shares.items():
            if kind not in KINDS:
                raise ValueError(f"negatives: {kind!r} is not one of {KINDS}")
            if not isinstance(share, int | float) or not 0 <= share < float("inf"):
                raise ValueError(f"negatives: the share of {kind!r} must be 0 or more: {share!r}")
        total = sum(shares.values())
        if not total:
            raise ValueError("negatives: all shares are 0")
        self.shares = {kind: float(shares.get(kind, 0)) / total for kind in KINDS}
        self._beside: dict[str, Counter[str]] = {}

    @property
    def needs_rows(self) -> bool:
        """Whether `count_rows` must be called, with the phrases of the dataset's rows."""
        return self.shares["cooccurring"] > 0

    def count_rows(self, rows: Iterable[Sequence[str]]) -> None:
        """Count which phrases are in a row together, in the first `ROWS` rows.

        Args:
            rows: the phrases of each row, each once.
        """
        self._beside = {}
        for phrases in islice(rows, ROWS):
            keys = list(dict.fromkeys(map(normalise_phrase, phrases)))
            for key in keys:
                self._beside.setdefault(key, Counter()).update(k for k in keys if k != key)

    def draw(
        self, phrases: Sequence[str], others: Sequence[str], number: int, rng: np.random.Generator
    ) -> list[str]:
        """Return negative categories, each once.

        Args:
            phrases: what is in the image.
            others: the categories to draw from.
            number: how many; all of ``others`` if there are fewer.
            rng: the only source of randomness.
        """
        if self.shares["random"] == 1:
            return [others[i] for i in rng.permutation(len(others))[:number]]
        kinds = rng.choice(len(KINDS), size=number, p=[self.shares[kind] for kind in KINDS])
        weights = [np.ones(len(others))]
        weights += [self._likeness(phrases, others), self._company(phrases, others)]
        free = np.ones(len(others), dtype=bool)
        drawn = []
        for kind in kinds[: len(others)]:
            chances = np.where(free, weights[kind], 0.0)
            if not chances.any():  # nothing of the kind is left
                chances = free.astype(np.float64)
            place = int(rng.choice(len(others), p=chances / chances.sum()))
            free[place] = False
            drawn.append(others[place])
        return drawn

    def _likeness(self, phrases: Sequence[str], others: Sequence[str]) -> Any:
        """Return for each category the square of its likeness to the nearest phrase."""
        given = [_parts(phrase) for phrase in phrases]
        return np.array(
            [max((_jaccard(_parts(o), parts) for parts in given), default=0.0) ** 2 for o in others]
        )

    def _company(self, phrases: Sequence[str], others: Sequence[str]) -> Any:
        """Return for each category how many rows have it beside one of the phrases."""
        together: Counter[str] = Counter()
        for phrase in phrases:
            together.update(self._beside.get(normalise_phrase(phrase), {}))
        return np.array([float(together[normalise_phrase(other)]) for other in others])


def _parts(phrase: str) -> set[str]:
    """Return the words of a phrase, and the letter triples of each."""
    words = phrase.casefold().replace("_", " ").split()
    padded = [f" {word} " for word in words]
    return {*words, *(w[i : i + 3] for w in padded for i in range(len(w) - 2))}


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))
