"""Error of the number of predicted instances."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class CountingError(Metric):
    """Compute the error between predicted and true numbers of instances of a phrase.

    ``counting_mae`` is the mean absolute error over the phrases of all images, absent ones included
    (their true number is 0). ``counting_relative`` is the mean of error / true number over the
    phrases that are present. Both are 0 if there is nothing to count. In each image, phrases with
    ignored instances are skipped, since their number is unknown, and so are phrases that were not
    asked for.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(self, strict_phrases: bool = False) -> None:
        self.strict_phrases = strict_phrases
        # Images by phrase, true number and predicted number: integers, so that sums are the same in
        # any order.
        self._num_images: Counter[tuple[str, int, int]] = Counter()

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        true = Counter(i.phrase for i in target.instances)
        predicted = Counter(i.phrase for i in prediction.instances if not i.ignore)
        unknown = {i.phrase for i in target.instances if i.ignore}
        for phrase in target.phrases:
            if phrase not in unknown:
                self._num_images[phrase, true[phrase], predicted[phrase]] += 1

    def compute(self) -> dict[str, float]:
        """Return the errors over all images added so far."""
        return _errors(self._numbers(list(self._num_images)))

    def per_category(self) -> dict[str, dict[str, float]]:
        """Return the errors of each phrase."""
        phrases = sorted({phrase for phrase, _, _ in self._num_images})
        return {
            phrase: _errors(self._numbers([key for key in self._num_images if key[0] == phrase]))
            for phrase in phrases
        }

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {
            "phrases": np.array([phrase for phrase, _, _ in self._num_images], dtype=np.str_),
            "numbers": self._numbers(list(self._num_images)),
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        rows = zip(state["phrases"].tolist(), state["numbers"].tolist(), strict=True)
        for phrase, (true, predicted, images) in rows:
            self._num_images[phrase, true, predicted] += images

    def _numbers(self, keys: list[tuple[str, int, int]]) -> np.ndarray:
        """Return (N, 3): true number, predicted number, number of images."""
        rows = [
            (true, predicted, self._num_images[p, true, predicted]) for p, true, predicted in keys
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _errors(numbers: np.ndarray) -> dict[str, float]:
    true, predicted, images = numbers[np.lexsort(numbers.T)].T
    error = np.abs(predicted - true)
    present = true > 0
    relative = error[present] / true[present] * images[present]
    return {
        "counting_mae": float((error * images).sum() / max(images.sum(), 1)),
        "counting_relative": float(relative.sum() / max(images[present].sum(), 1)),
    }
