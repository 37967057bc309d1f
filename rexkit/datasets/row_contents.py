"""What the rows of a dataset hold, read without their images: for sampling, order and negatives."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from rexkit.datasets.skipped_rows import errors_of_row

_LONG = 20_000
"""The number of rows from which on a progress bar is shown."""


@dataclass(frozen=True, eq=False)
class RowContents:
    """The categories and the number of instances of each row, four bytes for each.

    Attributes:
        categories: every phrase of the dataset, in the order of its first row.
        starts: (rows + 1,) where the categories of each row start in ``numbers``.
        numbers: which categories are in the rows, row after row, each once.
        num_instances: (rows,) how many instances each row has, ignored ones not counted.
    """

    categories: list[str]
    starts: NDArray[np.int64]
    numbers: NDArray[np.int32]
    num_instances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.num_instances)

    @property
    def num_categories(self) -> NDArray[np.int64]:
        """(rows,) how many categories each row has."""
        return np.diff(self.starts)

    @property
    def rows_per_category(self) -> NDArray[np.int64]:
        """(categories,) how many rows have each category."""
        return np.bincount(self.numbers, minlength=len(self.categories))

    def of_row(self, row: int) -> list[str]:
        """Return the categories of a row."""
        return [self.categories[n] for n in self.numbers[self.starts[row] : self.starts[row + 1]]]

    def select(self, rows: NDArray[np.int64]) -> RowContents:
        """Return the contents of some rows, in that order."""
        counts = self.num_categories[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        numbers = self.numbers[np.repeat(self.starts[rows], counts) + within]
        return RowContents(self.categories, starts, numbers, self.num_instances[rows])


def contents_of(rows: Iterable[Iterable[str]]) -> RowContents:
    """Return the contents of rows, given the phrase of every instance of each.

    >>> found = contents_of([["cup", "cup", "dog"], [], ["dog"]])
    >>> found.categories, found.num_instances.tolist(), found.rows_per_category.tolist()
    (['cup', 'dog'], [3, 0, 1], [1, 2])
    """
    known: dict[str, int] = {}
    starts, numbers, instances = array("q", [0]), array("i"), array("i")
    for phrases in rows:
        listed = list(phrases)
        instances.append(len(listed))
        numbers.extend([known.setdefault(p, len(known)) for p in dict.fromkeys(listed)])
        starts.append(len(numbers))
    return RowContents(
        list(known),
        np.array(starts, dtype=np.int64),
        np.array(numbers, dtype=np.int32),
        np.array(instances, dtype=np.int32),
    )


def read_contents(dataset: Any, rows: NDArray[np.int64] | None = None) -> RowContents:
    """Read the contents of the rows of a dataset.

    A dataset that has the method ``row_phrases(index)`` (as those over files have) is asked for the
    phrases without decoding an image; of another, every sample is read.

    Args:
        dataset: of DATASETS.
        rows: those to read; None reads all.

    Raises:
        DataError: a row that cannot be read.
    """
    name = type(dataset).__name__
    listed = range(len(dataset)) if rows is None else rows.tolist()

    def phrases(row: int) -> list[str]:
        with errors_of_row(f"row {row} of {name}", "annotation"):
            return phrases_of_row(dataset, row)

    if len(listed) < _LONG:
        return contents_of(map(phrases, listed))
    bar = track(listed, f"reading the phrases of {name}", transient=True)
    return contents_of(map(phrases, bar))


def phrases_of_row(dataset: Any, row: int) -> list[str]:
    """Return the phrase of every instance of a row, ignored ones left out."""
    if (read := getattr(dataset, "row_phrases", None)) is not None:
        return list(read(row))
    return [i.phrase for i in dataset[row].annotation.instances if not i.ignore]
