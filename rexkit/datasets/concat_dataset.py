"""Several datasets one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from rexkit.datasets.row_contents import phrases_of_row
from rexkit.datasets.row_dataset import OnError
from rexkit.errors import DataError
from rexkit.registry import DATASETS
from rexkit.structures import Sample


@DATASETS.register_module()
class ConcatDataset:
    """Several datasets one after the other, as one.

    Args:
        datasets: configs of DATASETS, or datasets.

    >>> shapes = dict(type="ShapesDataset", size=3)
    >>> both = ConcatDataset([shapes, dict(shapes, seed=1)])
    >>> len(both), both[4].source
    (6, 'ShapesDataset(seed=1)[1]')
    """

    def __init__(self, datasets: Sequence[Any]):
        self.datasets = [
            DATASETS.build(d, key=f"datasets.{i}") if isinstance(d, Mapping) else d
            for i, d in enumerate(datasets)
        ]
        self._ends = list(accumulate(len(dataset) for dataset in self.datasets))

    @property
    def skipped(self) -> list[DataError]:
        """The errors of the rows that each skipped with ``on_error="skip"``."""
        return [error for d in self.datasets for error in getattr(d, "skipped", ())]

    @property
    def clamped_boxes(self) -> int:
        """The number of boxes that were clamped to their image, of the rows read so far."""
        return sum(getattr(d, "clamped_boxes", 0) for d in self.datasets)

    @property
    def clamped_rows(self) -> list[str]:
        """The places of the rows that have clamped boxes, of those read so far."""
        return [row for d in self.datasets for row in getattr(d, "clamped_rows", ())]

    @property
    def left_out_outlines(self) -> int:
        """The number of outlines that cannot be used, of the rows read so far."""
        return sum(getattr(d, "left_out_outlines", 0) for d in self.datasets)

    @property
    def left_out_rows(self) -> list[str]:
        """The places of the rows that have such outlines, of those read so far."""
        return [row for d in self.datasets for row in getattr(d, "left_out_rows", ())]

    @property
    def on_error(self) -> OnError:
        """What is done about rows that cannot be used: "skip" if every part skips them."""
        skip = all(getattr(d, "on_error", "raise") == "skip" for d in self.datasets)
        return "skip" if skip and self.datasets else "raise"

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Sample:
        number, row = self.locate(index)
        sample: Sample = self.datasets[number][row]
        return sample

    def row_phrases(self, index: int) -> list[str]:
        """Return the phrase of every instance of a sample."""
        number, row = self.locate(index)
        return phrases_of_row(self.datasets[number], row)

    def locate(self, index: int) -> tuple[int, int]:
        """Return the number of the dataset that a sample is of, and its index there."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)
