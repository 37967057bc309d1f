"""F1 by counting: hits, answers and truths of every phrase."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.metrics.metric import Metric, State
from rexkit.structures import Array

Counts = NDArray[np.int64]


class TallyMetric(Metric):
    """A metric that counts hits, answers and truths, at one or more thresholds.

    Counts are summed over all images and phrases before dividing (micro average). A subclass
    says what a hit is, by calling `count` in its ``add``, and makes `figures` of the counts.

    Args:
        thresholds: how many.
        groups: names of the parts that truths and answers are divided into, such as sizes.
    """

    def __init__(self, thresholds: int, groups: Sequence[str] = ("all",)):
        self._thresholds = thresholds
        self._groups = tuple(groups)
        self._counts: dict[str, Counts] = {}

    @abstractmethod
    def figures(self, counts: Counts) -> dict[str, float]:
        """The figures of hits, answers and truths: (3, thresholds)."""

    def count(
        self,
        answered: Sequence[str],
        wanted: Sequence[str],
        hit: NDArray[np.bool_],
        counted: NDArray[np.bool_],
        *,
        required: NDArray[np.bool_] | None = None,
        answer_groups: NDArray[np.int64] | None = None,
        truth_groups: NDArray[np.int64] | None = None,
    ) -> None:
        """Count one image.

        Args:
            answered: the phrases of the N answers.
            wanted: the phrases of the M truths.
            hit: (thresholds, N), which answers are right.
            counted: (thresholds, N), which answers count at all.
            required: (thresholds, M), which truths count at all; left out, every one.
            answer_groups: (thresholds, N), the number of each answer's group; left out, the first.
            truth_groups: (M,), likewise.
        """
        index = {phrase: i for i, phrase in enumerate(dict.fromkeys([*answered, *wanted]))}
        counts = np.zeros((len(index), len(self._groups), 3, self._thresholds), dtype=np.int64)
        columns = np.arange(self._thresholds)[:, None]
        rows = np.array([index[phrase] for phrase in answered], dtype=np.int64)
        groups = np.zeros(hit.shape, np.int64) if answer_groups is None else answer_groups
        np.add.at(counts[:, :, 0], (rows, groups, columns), hit)
        np.add.at(counts[:, :, 1], (rows, groups, columns), counted)
        rows = np.array([index[phrase] for phrase in wanted], dtype=np.int64)
        groups = np.zeros(len(rows), np.int64) if truth_groups is None else truth_groups
        np.add.at(counts[:, :, 2], (rows, groups, columns), True if required is None else required)
        self._sum_up(index, counts)

    def compute(self) -> dict[str, float]:
        return self.figures(self._total().sum(axis=0))

    def per_category(self) -> dict[str, dict[str, float]]:
        """The same figures for each phrase, with the numbers of its ``answers`` and ``truths``."""
        return {
            phrase: self._table(counts.sum(axis=0))
            for phrase, counts in sorted(self._counts.items())
        }

    def per_group(self) -> dict[str, dict[str, float]]:
        """The same figures for each group, with the numbers of its ``answers`` and ``truths``."""
        return {
            name: self._table(counts)
            for name, counts in zip(self._groups, self._total(), strict=True)
        }

    def state(self) -> State:
        counts = np.array(list(self._counts.values()), dtype=np.int64)
        return {
            "phrases": np.array(list(self._counts), dtype=np.str_),
            "counts": counts.reshape(-1, len(self._groups), 3, self._thresholds),
        }

    def absorb(self, state: State) -> None:
        self._sum_up(state["phrases"].tolist(), state["counts"])

    def _total(self) -> Counts:
        """Counts of all phrases: (groups, 3, thresholds)."""
        return np.asarray(self.state()["counts"].sum(axis=0))

    def _table(self, counts: Counts) -> dict[str, float]:
        numbers = {"answers": int(counts[1, 0]), "truths": int(counts[2, 0])}
        return {**self.figures(counts), **numbers}

    def _sum_up(self, phrases: Iterable[str], counts: Counts) -> None:
        for phrase, count in zip(phrases, counts, strict=True):
            self._counts[phrase] = self._counts.get(phrase, 0) + count


def precision_recall_f1(counts: ArrayLike) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 from hits, answers and truths.

    F1 is 2 · hits / (answers + truths). Where nothing was to be found and nothing was answered, no
    error was made and all three are 1, as the HumanRef benchmark scores an empty answer to an empty
    truth; where only one side is empty, all three are 0.

    Args:
        counts: (3, ...) hits, answers, truths.

    >>> [float(x) for x in precision_recall_f1([2, 4, 3])]  # doctest: +ELLIPSIS
    [0.5, 0.666..., 0.571...]
    >>> [float(x) for x in precision_recall_f1([0, 0, 0])]
    [1.0, 1.0, 1.0]
    """
    hits, answered, wanted = np.asarray(counts, dtype=np.float64)
    nothing = (answered == 0) & (wanted == 0)
    precision, recall, f1 = (
        np.where(nothing, 1.0, part / np.maximum(whole, 1.0))
        for part, whole in ((hits, answered), (hits, wanted), (2 * hits, answered + wanted))
    )
    return precision, recall, f1
