"""Counting: does an answer hold as many things as there are?"""

from __future__ import annotations

from collections import Counter

import numpy as np

from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class CountingError(Metric):
    """How far the number of answered instances of a phrase is from the true number.

    ``counting_mae`` is the mean absolute error over the phrases asked in all images, absent ones
    included (their true number is 0). ``counting_relative`` is the mean of the error's share of the
    true number, over the phrases that are there. Both are 0 where there is nothing to count. A
    phrase with ignored instances in an image is left out there, since their number is not known;
    so are phrases that were not asked for.
    """

    def __init__(self) -> None:
        # How often a phrase was so many times there and so many times answered: whole numbers, so
        # that sums do not depend on their order.
        self._times: Counter[tuple[str, int, int]] = Counter()

    def add(self, prediction: Prediction, target: Annotation) -> None:
        true = Counter(i.phrase for i in target.instances)
        answered = Counter(i.phrase for i in prediction.instances if not i.ignore)
        unknown = {i.phrase for i in target.instances if i.ignore}
        for phrase in target.phrases:
            if phrase not in unknown:
                self._times[phrase, true[phrase], answered[phrase]] += 1

    def compute(self) -> dict[str, float]:
        return _figures(self._numbers(list(self._times)))

    def per_category(self) -> dict[str, dict[str, float]]:
        """The same figures for each phrase."""
        phrases = sorted({phrase for phrase, _, _ in self._times})
        return {
            phrase: _figures(self._numbers([key for key in self._times if key[0] == phrase]))
            for phrase in phrases
        }

    def state(self) -> State:
        return {
            "phrases": np.array([phrase for phrase, _, _ in self._times], dtype=np.str_),
            "numbers": self._numbers(list(self._times)),
        }

    def absorb(self, state: State) -> None:
        rows = zip(state["phrases"].tolist(), state["numbers"].tolist(), strict=True)
        for phrase, (true, answered, times) in rows:
            self._times[phrase, true, answered] += times

    def _numbers(self, keys: list[tuple[str, int, int]]) -> np.ndarray:
        """True number, answered number, how often: (N, 3)."""
        rows = [(true, answered, self._times[p, true, answered]) for p, true, answered in keys]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _figures(numbers: np.ndarray) -> dict[str, float]:
    true, answered, times = numbers[np.lexsort(numbers.T)].T
    error = np.abs(answered - true)
    there = true > 0
    relative = error[there] / true[there] * times[there]
    return {
        "counting_mae": float((error * times).sum() / max(times.sum(), 1)),
        "counting_relative": float(relative.sum() / max(times[there].sum(), 1)),
    }
