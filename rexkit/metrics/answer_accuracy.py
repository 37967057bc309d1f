"""Accuracy of answers in free text."""

from __future__ import annotations

import numpy as np

from rexkit.grammar.tokens import END_OF_TURN
from rexkit.metrics.metric import Metric, State
from rexkit.phrases import normalise_phrase
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class AnswerAccuracy(Metric):
    """Compute how many answers equal the expected ones, but for case, blanks and punctuation.

    The expected answer is ``target.extra["answer"]`` (`rexkit.tasks.ChatTask`). ``exact_match`` is
    the fraction of equal answers, 0 without any.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(2, dtype=np.int64)  # right, all

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the answer to one question."""
        expected = normalise_phrase(str(target.extra.get("answer", "")))
        given = normalise_phrase(prediction.text.removesuffix(END_OF_TURN))
        self._counts += (given == expected, 1)

    def compute(self) -> dict[str, float]:
        """Return the fraction of equal answers."""
        right, total = self._counts.tolist()
        return {"exact_match": right / max(1, total)}

    def state(self) -> State:
        """Return the numbers of right answers and of all."""
        return {"counts": self._counts.copy()}

    def absorb(self, state: State) -> None:
        """Add the numbers of another metric."""
        self._counts += state["counts"]
