"""A source: a dataset, the task that asks about it, and how often it is drawn."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.datasets.row_contents import RowContents, read_contents
from rexkit.datasets.row_counts import RowCounts
from rexkit.datasets.skipped_rows import errors_of_row
from rexkit.errors import DataError
from rexkit.mixing.epoch_plan import SourceRows
from rexkit.mixing.row_factors import row_factors
from rexkit.registry import PARSERS
from rexkit.structures import Sample

logger = logging.getLogger(__name__)


@dataclass
class Source:
    """A dataset, the task that asks about it, and how often it is drawn.

    Attributes:
        dataset: of DATASETS.
        task: of TASK_FNS; several are all asked about each image, which then gives a list of
            examples.
        transforms: of TRANSFORMS, applied in order; each is called with (sample, generator).
        weight: how many times an epoch goes through the dataset; 0.5 is half of its samples,
            the other half in the next epoch.
        name: of the dataset, in results; if left out, it is made from the dataset's class.
        rewards: of REWARDS, for reinforcement learning; if left out, those of the trainer.
        parser: of PARSERS, how responses are parsed; if left out, by the task's.
        key: its config key, such as "train_data.0", for messages.
        rows: of the dataset, those that are used; None uses all.
        skipped: the error of each row that is not used, found by `ExampleDataset.skip_unusable`.
        share: of a mixture, relative to those of its other sources; see `rexkit.mixing.Mixture`.
        max_examples: the most examples of an epoch.
        repeat_threshold: as in `rexkit.mixing.row_factors`.
        max_per_category: as in `rexkit.mixing.row_factors`.
        contents: of the rows of the dataset, where something depends on their categories.
    """

    dataset: Any
    task: Any
    transforms: Sequence[Any] = ()
    weight: float = 1.0
    name: str = ""
    rewards: Sequence[Any] = ()
    parser: Any = None
    key: str = ""
    rows: NDArray[np.int64] | None = None
    skipped: list[DataError] = field(default_factory=list)
    share: float | None = None
    max_examples: int | None = None
    repeat_threshold: float | None = None
    max_per_category: int | None = None
    contents: RowContents | None = field(default=None, repr=False)
    _replaced: RowCounts | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.skips and self._replaced is None:
            self._replaced = RowCounts(len(self.dataset))
        if self.parser is None and not isinstance(self.task, Sequence):
            self.parser = PARSERS.build(self.task.parser)

    def __len__(self) -> int:
        return self.in_use().examples

    def in_use(self, with_contents: bool = False) -> SourceRows:
        """Return the rows in use, and how often an epoch goes through them.

        Args:
            with_contents: whether to read what they hold, for stages that depend on it.
        """
        by_category = (self.repeat_threshold, self.max_per_category) != (None, None)
        contents = self.read_contents() if with_contents or by_category else None
        if contents is not None and self.rows is not None:
            contents = contents.select(self.rows)
        factors = None
        if contents is not None and by_category:
            factors = row_factors(contents, self.repeat_threshold, self.max_per_category)
        return SourceRows(
            self.key,
            self.num_rows,
            self.weight,
            self.share,
            self.max_examples,
            factors,
            contents if with_contents else None,
        )

    def read_contents(self) -> RowContents:
        """Return what the rows of the dataset hold, which is read once."""
        if self.contents is None:
            self.contents = read_contents(self.dataset)
        return self.contents

    @property
    def prefix(self) -> str:
        """Its config key as the start of a message; nothing without one."""
        return f"{self.key}: " if self.key else ""

    @property
    def num_rows(self) -> int:
        """The number of rows that are used."""
        return len(self.dataset) if self.rows is None else len(self.rows)

    @property
    def skips(self) -> bool:
        """Whether rows that cannot be used are skipped."""
        return getattr(self.dataset, "on_error", "raise") == "skip"

    @property
    def tasks(self) -> Sequence[Any]:
        """The task, or all of several."""
        return self.task if isinstance(self.task, Sequence) else [self.task]

    @property
    def replaced_rows(self) -> list[int]:
        """The rows of the dataset that could not be used with the random choices of an example."""
        return [] if self._replaced is None else self._replaced.rows

    def row(self, number: int) -> int:
        """Return the row of the dataset that one of the rows in use is."""
        return number if self.rows is None else int(self.rows[number])

    def read(self, row: int) -> Sample:
        """Return the sample of a row of the dataset.

        Raises:
            DataError: whatever is wrong with it.
        """
        # What the dataset raises has the place of the row; its index is the best there is else.
        with errors_of_row(f"row {row} of {type(self.dataset).__name__}", "annotation"):
            sample: Sample = self.dataset[row]
        return sample

    def draw(self, rng: np.random.Generator) -> Sample:
        """Return the sample of a row that is drawn, to be combined with another.

        Where rows may be skipped, one that cannot be read is drawn again, a few times. It is
        counted where it is read for itself.

        Raises:
            DataError: the rows cannot be read.
        """
        left = 3 if self.skips else 1
        while True:
            left -= 1
            try:
                return self.read(self.row(int(rng.integers(self.num_rows))))
            except DataError:
                if not left:
                    raise

    def replace_row(self, row: int, error: DataError) -> None:
        """Count a row that is replaced by another, and log the first."""
        assert self._replaced is not None
        if self._replaced.set(row, 1):
            logger.warning(
                "%s%s; another row takes its place, and others like it are counted",
                self.prefix,
                error,
            )
