"""Examples of mixed sources, with every random choice fixed by (seed, epoch, index)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rexkit.datasets.row_counts import describe_clamped, describe_left_out
from rexkit.datasets.skipped_rows import SKIP_HINT, describe_skipped, errors_of_row
from rexkit.datasets.transforms.chain import DrawSample, apply_transforms
from rexkit.errors import ConfigError, DataError, ErrorCollector
from rexkit.mixing import EpochPlan, Mixture
from rexkit.mixing.source import Source
from rexkit.mixing.source_configs import build_sources
from rexkit.registry import errors_at
from rexkit.structures import Example, Sample
from rexkit.tasks.negative_sampling import NegativeSampler

__all__ = ["ExampleDataset", "Source", "build_examples"]

logger = logging.getLogger(__name__)

Key = tuple[int, int]
"""(epoch, index): what a sampler hands to the data set."""

Item = Example | list[Example]
"""One question about an image, or several about the same one."""

Limit = Callable[[Example], None]
"""Raises a `DataError` for an example that a model cannot take."""

LISTED = 50
"""How many skipped rows a report lists."""

_BLOCK = 64

DRAWS = 3
"""How many examples of a row are tried, where transforms draw by chance, before it is skipped."""


class ExampleDataset:
    """The examples of one or more sources.

    An item is an example, or a list of them where a source asks several tasks about each image.

    A row that cannot be used, at whatever stage, is an error with its place. Where the dataset has
    ``on_error="skip"``, `skip_unusable` finds such rows beforehand; a row that turns out to be
    unusable later, since a transform or a task draws by chance, is replaced by the next one of its
    source. That depends on (seed, epoch, index) alone, as everything else.

    Args:
        sources: what is asked about which dataset.
        seed: of every random choice.
        training: whether templates and category order are drawn, and `epoch` changes the draws.
        mixture: how the sources are mixed; None draws ``len(source)`` examples of each in every
            epoch.

    Attributes:
        plan: how many examples of each source an epoch has, and of which rows.
        limits: functions that raise a `DataError` for an example that the model cannot take; every
            example is checked by all of them.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        seed: int = 0,
        training: bool = False,
        mixture: Mixture | None = None,
    ):
        self.sources = list(sources)
        self.seed = seed
        self.training = training
        self.mixture = mixture
        self.limits: list[Limit] = []
        self._scanned = False
        self._make_plan()

    def _make_plan(self) -> None:
        """Plan the epochs, from the rows that are used."""
        for source in self.sources:
            for task in source.tasks:
                sampler = getattr(task, "negatives", None)
                if self.training and isinstance(sampler, NegativeSampler) and sampler.needs_rows:
                    contents = source.read_contents()
                    sampler.count_rows(map(contents.of_row, range(len(contents))))
        filters = self.mixture is not None and self.mixture.filters
        rows = [source.in_use(filters) for source in self.sources]
        self.plan = EpochPlan(rows, self.mixture, self.seed, self.training)

    def __len__(self) -> int:
        return self.plan.length

    def __getitem__(self, key: int | Key) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        number = self.source_of(index, epoch)
        source = self.sources[number]
        within = index - self.first_index(number, epoch)
        failures: list[DataError] = []
        for attempt in range(source.num_rows if source.skips else 1):
            row = source.row(self.plan.row(number, epoch, within, attempt))
            draw = (self.seed, epoch, index, *([attempt] if attempt else []))
            try:
                return self._item(source, source.read(row), draw, source.draw)
            except DataError as error:
                if not source.skips:
                    raise
                failures.append(error.at(error.source))
                source.replace_row(row, error)
        raise _no_usable_row(source, failures)

    def _item(
        self, source: Source, sample: Sample, draw: tuple[int, ...], another: DrawSample
    ) -> Item:
        """Make the item of a sample; whatever is wrong with it is a `DataError`."""
        rng = np.random.default_rng(draw)
        examples = []
        try:
            sample = apply_transforms(source.transforms, sample, rng, another)
            for task in source.tasks:
                with errors_of_row(sample.source, "task", task):
                    examples.append(task.example(sample, rng, self.training))
                with errors_of_row(sample.source, "model"):
                    for limit in self.limits:
                        limit(examples[-1])
        except DataError as error:
            if getattr(source.dataset, "on_error", None) != "raise":
                raise
            reason = f"{error.reason}, {SKIP_HINT}"
            raise DataError(reason, error.source, error.kind) from error
        return examples if isinstance(source.task, Sequence) else examples[0]

    def skip_unusable(self, *limits: Limit) -> None:
        """Find the rows that cannot be used, of the datasets with ``on_error="skip"``.

        Every row is read, and an example is made of it; where there are transforms, up to `DRAWS`
        of them, since each draws by chance. Rows are then left out of their source, whose length
        changes, and reported. The other datasets are not read. Another call with the same limits
        does nothing.

        Args:
            limits: are added to `limits` first.

        Raises:
            ConfigError: no row of a dataset can be used; errors of several sources are reported
                together.
        """
        new = [limit for limit in limits if limit not in self.limits]
        if self._scanned and not new:
            return
        self._scanned = True
        self.limits += new
        groups: dict[tuple[int, int], list[Source]] = {}
        for source in self.sources:
            if source.skips:  # sources of one dataset share its reading
                groups.setdefault((id(source.dataset), id(source.rows)), []).append(source)
        errors = ErrorCollector()
        for group in groups.values():
            self._skip_rows(group, errors)
        if not errors.errors:
            self._make_plan()
        errors.raise_all()

    def _skip_rows(self, sources: Sequence[Source], errors: ErrorCollector) -> None:
        """Leave the rows out of each source of a dataset that it cannot use."""
        numbers = [sources[0].row(number) for number in range(sources[0].num_rows)]
        blocks = [numbers[start : start + _BLOCK] for start in range(0, len(numbers), _BLOCK)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = [
                f for block in pool.map(partial(self._failures, sources), blocks) for f in block
            ]
        for source, failures in zip(sources, zip(*found, strict=True), strict=True):
            skipped = [error for error in failures if error is not None]
            if not skipped:
                continue
            source.skipped += skipped
            kept = [row for row, error in zip(numbers, failures, strict=True) if error is None]
            with errors.collect():
                if not kept:
                    raise _no_usable_row(source, skipped)
                source.rows = np.array(kept, dtype=np.int64)
                logger.warning("%s%s", source.prefix, describe_skipped(skipped, len(numbers)))

    def _failures(
        self, sources: Sequence[Source], rows: Sequence[int]
    ) -> list[list[DataError | None]]:
        """Return for each row why each source cannot use it, or None."""
        found: list[list[DataError | None]] = []
        for row in rows:
            try:
                sample = sources[0].read(row)
            except DataError as error:
                # A new one: the error that was raised keeps the image alive by its traceback.
                found.append([error.at(error.source)] * len(sources))
            else:
                found.append([self._failure(source, sample) for source in sources])
        return found

    def _failure(self, source: Source, sample: Sample) -> DataError | None:
        """Return why a source cannot use a sample, a new error, or None."""
        found = None
        for draw in range(DRAWS if source.transforms else 1):
            try:
                # It is combined with itself: another row must not make this one unusable.
                self._item(source, sample, (self.seed, draw), lambda rng: sample)
            except DataError as error:
                found = error.at(error.source)
            else:
                return None
        return found

    def source_of(self, index: int, epoch: int = 0) -> int:
        """Return the number of the source that an example of an epoch comes from."""
        return int(np.searchsorted(self.plan.ends(epoch), index, side="right"))

    def first_index(self, source: int, epoch: int = 0) -> int:
        """Return the index of the first example of a source, given the source's number."""
        return int(self.plan.ends(epoch)[source]) - self.plan.counts(epoch)[source]

    def first_example(self, number: int) -> Any:
        """Return the first example of a source, of the first epoch that draws from it.

        Args:
            number: of the source.
        """
        for epoch in self.plan.first_epochs():
            if self.plan.counts(epoch)[number]:
                return self[epoch, self.first_index(number, epoch)]
        source = self.sources[number]
        sample = source.read(source.row(0))
        return self._item(source, sample, (self.seed, 0, number), source.draw)

    def split_tasks(self) -> ExampleDataset:
        """Return the examples with a source for each task, where one has several."""
        sources = [replace(source, task=task) for source in self.sources for task in source.tasks]
        times = [len(source.tasks) for source in self.sources]
        mixture = self.mixture and self.mixture.repeated(times)
        split = ExampleDataset(sources, self.seed, self.training, mixture)
        split.limits = self.limits
        return split

    @property
    def skipped(self) -> list[str]:
        """The rows that ``on_error="skip"`` left out so far, with the reasons."""
        datasets = {id(source.dataset): source.dataset for source in self.sources}.values()
        errors = [error for dataset in datasets for error in getattr(dataset, "skipped", ())]
        return [str(e) for e in errors + [e for source in self.sources for e in source.skipped]]

    @property
    def reports(self) -> list[str]:
        """What was skipped, clamped and left out so far, of the rows read: the lines of a log."""
        skipped = self.skipped
        lines = [f"skipped: {line}" for line in skipped[:LISTED]]
        if len(skipped) > LISTED:
            lines.append(f"skipped: … and {len(skipped) - LISTED} more")
        for source in self.sources:
            if rows := source.replaced_rows:
                lines.append(
                    f"{source.prefix}{len(rows)} rows were skipped where they could not be used "
                    "with the random choices of an example, and others took their place"
                )
        for dataset in {id(source.dataset): source.dataset for source in self.sources}.values():
            if boxes := getattr(dataset, "clamped_boxes", 0):
                lines.append(describe_clamped(boxes, dataset.clamped_rows))
            if outlines := getattr(dataset, "left_out_outlines", 0):
                lines.append(describe_left_out(outlines, dataset.left_out_rows))
        return lines


def _no_usable_row(source: Source, failures: Sequence[DataError]) -> ConfigError:
    return ConfigError(
        f"{source.key or type(source.dataset).__name__}: no row of the dataset can be used; "
        f"the first: {failures[0]}"
    )


def build_examples(
    cfg: Any,
    key: str,
    seed: int,
    training: bool,
    parser: Mapping[str, Any] | None = None,
    *,
    scan: bool = True,
) -> ExampleDataset:
    """Build the examples that ``train_data``, ``val_data`` or ``test_data`` of a config describes.

    Args:
        cfg: one source, ``dict(dataset=…, task=…)`` with the other fields of `Source` if wanted,
            a list, or in training a mixture, ``dict(sources=[…], …)`` with the keys of
            `rexkit.config.MIXTURE_KEYS`. ``task=[…]`` asks several tasks about each image: in
            training together, so that ``packing`` can read the image once; otherwise as a source
            each.
            ``reward_name="…"`` is short for ``rewards=["…"]``.
        key: its name in the config, for messages.
        seed: as in `ExampleDataset`.
        training: as in `ExampleDataset`.
        parser: config of PARSERS for the sources without one; if left out, the tasks' own.
        scan: whether `ExampleDataset.skip_unusable` is called at once; otherwise whoever uses the
            examples calls it, when the limits of the model are known.

    Returns:
        The examples of all sources.

    Raises:
        ConfigError: a source that cannot be used; several errors are reported together.
    """
    sources, mixture = build_sources(cfg, key, training, parser)
    with errors_at(key, {}):
        examples = ExampleDataset(sources, seed, training, mixture)
    if scan:
        examples.skip_unusable()
    return examples
