"""Rejection of phrases that are not in the image."""

from __future__ import annotations

import numpy as np

from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class Rejection(Metric):
    """Compute the fraction of absent phrases that are predicted without an instance.

    ``rejection_accuracy`` requires only that there is no instance, as in the HumanRef benchmark.
    ``answered_none`` also requires an explicit ``None``: it is lower where completions are cut off
    or cannot be read. ``absent`` is the number of absent phrases; without any, both fractions are
    1.

    A phrase whose target instances are all ignored is not absent: predictions of it do not count.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(self, strict_phrases: bool = False) -> None:
        self.strict_phrases = strict_phrases
        self._counts = np.zeros(3, dtype=np.int64)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        present = {i.phrase for i in target.instances}
        absent = set(target.absent) - present
        predicted = {i.phrase for i in prediction.instances if not i.ignore}
        rejected = absent - predicted
        self._counts += [len(absent), len(rejected), len(rejected & set(prediction.absent))]

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        absent, rejected, explicit = (float(count) for count in self._counts)
        return {
            "rejection_accuracy": rejected / absent if absent else 1.0,
            "answered_none": explicit / absent if absent else 1.0,
            "absent": absent,
        }

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {"counts": self._counts.copy()}

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        self._counts += state["counts"]
