"""Base class of metrics made of precision and recall, from counts for each phrase."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.metrics.metric import Metric, State
from rexkit.structures import Array

Counts = NDArray[np.int64]


class PrecisionRecallMetric(Metric):
    """Count true positives, predictions and targets at one or more thresholds.

    Counts are summed over all images and phrases before dividing (micro average). A subclass
    decides what a true positive is by calling `count` in its ``add``, and turns counts into values
    in `metrics_from_counts`.

    Args:
        num_thresholds: the number of thresholds.
        groups: the names of the groups that targets and predictions are divided into, such as
            sizes.
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(
        self,
        num_thresholds: int,
        groups: Sequence[str] = ("all",),
        *,
        strict_phrases: bool = False,
    ):
        self.strict_phrases = strict_phrases
        self._num_thresholds = num_thresholds
        self._groups = tuple(groups)
        self._counts: dict[str, Counts] = {}

    @abstractmethod
    def metrics_from_counts(self, counts: Counts) -> dict[str, float]:
        """Compute the values from counts.

        Args:
            counts: (3, thresholds) true positives, predictions and targets.

        Returns:
            The values by name.
        """

    def count(
        self,
        predicted: Sequence[str],
        targets: Sequence[str],
        correct: NDArray[np.bool_],
        counted: NDArray[np.bool_],
        *,
        required: NDArray[np.bool_] | None = None,
        prediction_groups: NDArray[np.int64] | None = None,
        target_groups: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the counts of one image.

        Args:
            predicted: the phrases of the N predictions.
            targets: the phrases of the M targets.
            correct: (thresholds, N), whether each prediction is a true positive.
            counted: (thresholds, N), whether each prediction counts.
            required: (thresholds, M), whether each target counts; by default all do.
            prediction_groups: (thresholds, N), the group index of each prediction; by default 0.
            target_groups: (M,), the group index of each target; by default 0.
        """
        index = {phrase: i for i, phrase in enumerate(dict.fromkeys([*predicted, *targets]))}
        counts = np.zeros((len(index), len(self._groups), 3, self._num_thresholds), dtype=np.int64)
        columns = np.arange(self._num_thresholds)[:, None]
        rows = np.array([index[phrase] for phrase in predicted], dtype=np.int64)
        groups = np.zeros(correct.shape, np.int64)
        groups = groups if prediction_groups is None else prediction_groups
        np.add.at(counts[:, :, 0], (rows, groups, columns), correct)
        np.add.at(counts[:, :, 1], (rows, groups, columns), counted)
        rows = np.array([index[phrase] for phrase in targets], dtype=np.int64)
        groups = np.zeros(len(rows), np.int64) if target_groups is None else target_groups
        np.add.at(counts[:, :, 2], (rows, groups, columns), True if required is None else required)
        self._add_counts(index, counts)

    def compute(self) -> dict[str, float]:
        """Return the values over all images, phrases and groups."""
        return self.metrics_from_counts(self._total().sum(axis=0))

    def per_category(self) -> dict[str, dict[str, float]]:
        """Return the values of each phrase, with its numbers of ``predictions`` and ``targets``."""
        return {
            phrase: self._table(counts.sum(axis=0))
            for phrase, counts in sorted(self._counts.items())
        }

    def per_group(self) -> dict[str, dict[str, float]]:
        """Return the values of each group, with its numbers of ``predictions`` and ``targets``."""
        return {
            name: self._table(counts)
            for name, counts in zip(self._groups, self._total(), strict=True)
        }

    def state(self) -> State:
        """Return the counts of each phrase: (phrases, groups, 3, thresholds)."""
        counts = np.array(list(self._counts.values()), dtype=np.int64)
        return {
            "phrases": np.array(list(self._counts), dtype=np.str_),
            "counts": counts.reshape(-1, len(self._groups), 3, self._num_thresholds),
        }

    def absorb(self, state: State) -> None:
        """Add the counts of another metric."""
        self._add_counts(state["phrases"].tolist(), state["counts"])

    def _total(self) -> Counts:
        """Return the counts over all phrases: (groups, 3, thresholds)."""
        return np.asarray(self.state()["counts"].sum(axis=0))

    def _table(self, counts: Counts) -> dict[str, float]:
        numbers = {"predictions": int(counts[1, 0]), "targets": int(counts[2, 0])}
        return {**self.metrics_from_counts(counts), **numbers}

    def _add_counts(self, phrases: Iterable[str], counts: Counts) -> None:
        for phrase, count in zip(phrases, counts, strict=True):
            self._counts[phrase] = self._counts.get(phrase, 0) + count


def precision_recall_f1(counts: ArrayLike) -> tuple[Array, Array, Array]:
    """Compute precision, recall and F1 = 2 · TP / (predictions + targets).

    With neither predictions nor targets no error was made and all three are 1, as the HumanRef
    benchmark scores an empty prediction for an empty target; with only one of the two all three
    are 0.

    Args:
        counts: (3, ...) true positives, predictions, targets.

    Returns:
        Precision, recall and F1, each in [0, 1] and of the shape of one count.

    >>> [float(x) for x in precision_recall_f1([2, 4, 3])]  # doctest: +ELLIPSIS
    [0.5, 0.666..., 0.571...]
    >>> [float(x) for x in precision_recall_f1([0, 0, 0])]
    [1.0, 1.0, 1.0]
    """
    true_positives, predictions, targets = np.asarray(counts, dtype=np.float64)
    empty = (predictions == 0) & (targets == 0)
    precision, recall, f1 = (
        np.where(empty, 1.0, part / np.maximum(total, 1.0))
        for part, total in (
            (true_positives, predictions),
            (true_positives, targets),
            (2 * true_positives, predictions + targets),
        )
    )
    return precision, recall, f1
