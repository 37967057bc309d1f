"""Examples of mixed sources, with every random choice fixed by (seed, epoch, index)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.config import SOURCE_KEYS
from rexkit.datasets.row_counts import RowCounts, describe_clamped, describe_left_out
from rexkit.datasets.skipped_rows import SKIP_HINT, describe_skipped, errors_of_row
from rexkit.errors import ConfigError, DataError, ErrorCollector, did_you_mean
from rexkit.registry import DATASETS, PARSERS, TASK_FNS, TRANSFORMS, errors_at
from rexkit.structures import Example, Sample

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


@dataclass
class Source:
    """A dataset, the task that asks about it, and how often it is drawn.

    Attributes:
        dataset: of DATASETS.
        task: of TASK_FNS; several are all asked about each image, which then gives a list of
            examples.
        transforms: of TRANSFORMS, applied in order; each is called with (sample, generator).
        weight: how many times an epoch goes through the dataset; 0.5 is every other sample, a
            different half in the next epoch.
        name: of the dataset, in results; if left out, it is made from the dataset's class.
        rewards: of REWARDS, for reinforcement learning; if left out, those of the trainer.
        parser: of PARSERS, how responses are parsed; if left out, by the task's.
        key: its config key, such as "train_data.0", for messages.
        rows: of the dataset, those that are used; None uses all.
        skipped: the error of each row that is not used, found by `ExampleDataset.skip_unusable`.
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
    _replaced: RowCounts | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.skips and self._replaced is None:
            self._replaced = RowCounts(len(self.dataset))
        if self.parser is None and not isinstance(self.task, Sequence):
            self.parser = PARSERS.build(self.task.parser)

    def __len__(self) -> int:
        return max(1, round(self.num_rows * self.weight))

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

    def replace_row(self, row: int, error: DataError) -> None:
        """Count a row that is replaced by another, and log the first."""
        assert self._replaced is not None
        if self._replaced.set(row, 1):
            logger.warning(
                "%s%s; another row takes its place, and others like it are counted",
                _prefix(self),
                error,
            )


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

    Attributes:
        limits: functions that raise a `DataError` for an example that the model cannot take; every
            example is checked by all of them.
    """

    def __init__(self, sources: Sequence[Source], seed: int = 0, training: bool = False):
        self.sources = list(sources)
        self.seed = seed
        self.training = training
        self.limits: list[Limit] = []
        self._scanned = False
        self._set_ends()

    def _set_ends(self) -> None:
        self._ends = np.cumsum([len(source) for source in self.sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: int | Key) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        number = self.source_of(index)
        source = self.sources[number]
        first = index - self.first_index(number) + epoch * len(source)
        failures: list[DataError] = []
        for attempt in range(source.num_rows if source.skips else 1):
            row = source.row((first + attempt) % source.num_rows)
            draw = (self.seed, epoch, index, *([attempt] if attempt else []))
            try:
                return self._item(source, source.read(row), draw)
            except DataError as error:
                if not source.skips:
                    raise
                failures.append(error.at(error.source))
                source.replace_row(row, error)
        raise _no_usable_row(source, failures)

    def _item(self, source: Source, sample: Sample, draw: tuple[int, ...]) -> Item:
        """Make the item of a sample; whatever is wrong with it is a `DataError`."""
        rng = np.random.default_rng(draw)
        place = sample.source
        examples = []
        try:
            for transform in source.transforms:
                with errors_of_row(place, "transform", transform):
                    sample = transform(sample, rng)
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
        self._set_ends()
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
                logger.warning("%s%s", _prefix(source), describe_skipped(skipped, len(numbers)))

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
                self._item(source, sample, (self.seed, draw))
            except DataError as error:
                found = error.at(error.source)
            else:
                return None
        return found

    def source_of(self, index: int) -> int:
        """Return the number of the source that an example comes from."""
        return int(np.searchsorted(self._ends, index, side="right"))

    def first_index(self, source: int) -> int:
        """Return the index of the first example of a source, given the source's number."""
        return int(self._ends[source]) - len(self.sources[source])

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
                    f"{_prefix(source)}{len(rows)} rows were skipped where they could not be used "
                    "with the random choices of an example, and others took their place"
                )
        for dataset in {id(source.dataset): source.dataset for source in self.sources}.values():
            if boxes := getattr(dataset, "clamped_boxes", 0):
                lines.append(describe_clamped(boxes, dataset.clamped_rows))
            if outlines := getattr(dataset, "left_out_outlines", 0):
                lines.append(describe_left_out(outlines, dataset.left_out_rows))
        return lines


def _prefix(source: Source) -> str:
    return f"{source.key}: " if source.key else ""


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
            or a list. ``task=[…]`` asks several tasks about each image: in training together, so
            that ``packing`` can read the image once; otherwise as a source each.
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
    many = isinstance(cfg, Sequence) and not isinstance(cfg, str)
    if many and not cfg:
        raise ConfigError(f"{key}: an empty list has no examples; give at least one source")
    errors = ErrorCollector()
    sources: list[Source] = []
    for i, source in enumerate(cfg if many else [cfg]):
        with errors.collect():
            sources += _sources(source, f"{key}.{i}" if many else key, training, parser)
    errors.raise_all()
    examples = ExampleDataset(sources, seed, training)
    if scan:
        examples.skip_unusable()
    return examples


def _sources(cfg: Any, key: str, training: bool, parser: Mapping[str, Any] | None) -> list[Source]:
    """Build the sources that one entry of a config describes: one, or one for each task."""
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"{key}: expected dict(dataset=…, task=…), got {cfg!r}")
    errors = ErrorCollector()
    parts: dict[str, Any] = {}
    for name, build in {"dataset": _dataset, "transforms": _transforms, "task": _tasks}.items():
        with errors.collect():
            parts[name] = build(cfg.get(name), f"{key}.{name}")
    with errors.collect():
        _check_source(cfg, key)
    own = cfg.get("parser")
    with errors.collect():
        used = own or parser
        parts["parser"] = used and PARSERS.build(used, key=f"{key}.parser" if own else "parser")
    errors.raise_all()
    tasks = parts.pop("task")
    parts |= {name: cfg[name] for name in ("weight", "name", "rewards") if name in cfg}
    if "reward_name" in cfg:
        parts["rewards"] = [cfg["reward_name"]]
    parts["key"] = key
    return [
        Source(task=task, **parts) for task in ([tasks] if training and len(tasks) > 1 else tasks)
    ]


def _dataset(cfg: Any, key: str) -> Any:
    if cfg is None:
        raise ConfigError(f"{key}: missing; a source needs a dataset and a task")
    dataset = DATASETS.build(cfg, key=key)
    with errors_at(key, cfg):
        size = len(dataset)
    if not size:
        skipped = getattr(dataset, "skipped", ())
        why = f"{describe_skipped(skipped, len(skipped))}" if skipped else "it has no samples"
        raise ConfigError(f"{key}: no row of the dataset can be used; {why}")
    return dataset


def _transforms(cfg: Any, key: str) -> list[Any]:
    errors = ErrorCollector()
    transforms = []
    for number, transform in enumerate(cfg or ()):
        with errors.collect():
            transforms.append(TRANSFORMS.build(transform, key=f"{key}.{number}"))
    errors.raise_all()
    return transforms


def _tasks(cfg: Any, key: str) -> list[Any]:
    if cfg is None:
        raise ConfigError(f"{key}: missing; a source needs a dataset and a task")
    if not isinstance(cfg, (list, tuple)):
        return [TASK_FNS.build(cfg, key=key)]
    if not cfg:
        raise ConfigError(f"{key}: an empty list asks nothing; name at least one task")
    errors = ErrorCollector()
    tasks = []
    for number, task in enumerate(cfg):
        with errors.collect():
            tasks.append(TASK_FNS.build(task, key=f"{key}.{number}"))
    errors.raise_all()
    return tasks


def _check_source(cfg: Mapping[str, Any], key: str) -> None:
    """Check the keys of a source, and the values that need nothing to be built."""
    errors = ErrorCollector()
    for unknown in cfg.keys() - SOURCE_KEYS.keys():
        with errors.collect():
            hint = did_you_mean(unknown, SOURCE_KEYS)
            raise ConfigError(f"{key}.{unknown}: a source has no {unknown!r}; {hint}")
    name, weight = cfg.get("name", ""), cfg.get("weight", 1.0)
    with errors.collect():
        if not isinstance(name, str) or name != Path(name).name or name == "..":
            raise ConfigError(f"{key}.name: {name!r} cannot be the name of a folder")
    with errors.collect():
        if not isinstance(weight, (int, float)) or not weight > 0:
            raise ConfigError(f"{key}.weight: must be a number above 0, got {weight!r}")
    with errors.collect():
        if cfg.get("rewards") and "reward_name" in cfg:
            raise ConfigError(f"{key}: give either rewards or reward_name")
    errors.raise_all()
