"""Examples of mixed sources, with every random choice fixed by (seed, epoch, index)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.config import SOURCE_KEYS
from rexkit.datasets.row_counts import describe_clamped, describe_left_out
from rexkit.errors import ConfigError, DataError, ErrorCollector, did_you_mean
from rexkit.registry import DATASETS, PARSERS, TASK_FNS, TRANSFORMS, errors_at
from rexkit.structures import Example, Sample

__all__ = ["ExampleDataset", "Source", "build_examples"]

logger = logging.getLogger(__name__)

Key = tuple[int, int]
"""(epoch, index): what a sampler hands to the data set."""

Item = Example | list[Example]
"""One question about an image, or several about the same one."""


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
        rows: of the dataset, those that are used; None uses all.
        skipped: the error of each row that is not used, since the task cannot ask about it.
    """

    dataset: Any
    task: Any
    transforms: Sequence[Any] = ()
    weight: float = 1.0
    name: str = ""
    rewards: Sequence[Any] = ()
    parser: Any = None
    rows: NDArray[np.int64] | None = None
    skipped: list[DataError] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.parser is None and not isinstance(self.task, Sequence):
            self.parser = PARSERS.build(self.task.parser)

    def __len__(self) -> int:
        return max(1, round(self.num_rows * self.weight))

    @property
    def num_rows(self) -> int:
        """The number of rows that are used."""
        return len(self.dataset) if self.rows is None else len(self.rows)

    def sample(self, number: int) -> Sample:
        """Return the sample of one of the rows that are used."""
        sample: Sample = self.dataset[number if self.rows is None else int(self.rows[number])]
        return sample


class ExampleDataset:
    """The examples of one or more sources.

    An item is an example, or a list of them where a source asks several tasks about each image.

    Args:
        sources: what is asked about which dataset.
        seed: of every random choice.
        training: whether templates and category order are drawn, and `epoch` changes the draws.
    """

    def __init__(self, sources: Sequence[Source], seed: int = 0, training: bool = False):
        self.sources = list(sources)
        self.seed = seed
        self.training = training
        self._ends = np.cumsum([len(source) for source in self.sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: int | Key) -> Any:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        number = self.source_of(index)
        source = self.sources[number]
        sample = source.sample(
            (index - self.first_index(number) + epoch * len(source)) % source.num_rows
        )
        rng = np.random.default_rng((self.seed, epoch, index))
        place = sample.source
        for transform in source.transforms:
            with _errors_of_sample(place, transform):
                sample = transform(sample, rng)
        if not isinstance(source.task, Sequence):
            return self._example(source, source.task, sample, rng)
        return [self._example(source, task, sample, rng) for task in source.task]

    def _example(
        self, source: Source, task: Any, sample: Sample, rng: np.random.Generator
    ) -> Example:
        with _errors_of_sample(sample.source, task):
            try:
                example: Example = task.example(sample, rng, self.training)
            except DataError as error:
                if getattr(source.dataset, "on_error", None) != "raise":
                    raise
                hint = "or skip such rows with the dataset's on_error='skip'"
                raise DataError(f"{error.reason}, {hint}", error.source) from error
        return example

    def source_of(self, index: int) -> int:
        """Return the number of the source that an example comes from."""
        return int(np.searchsorted(self._ends, index, side="right"))

    def first_index(self, source: int) -> int:
        """Return the index of the first example of a source, given the source's number."""
        return int(self._ends[source]) - len(self.sources[source])

    @property
    def skipped(self) -> list[str]:
        """The samples that ``on_error="skip"`` left out so far, with the reasons."""
        return [
            str(error)
            for source in self.sources
            for error in (*getattr(source.dataset, "skipped", ()), *source.skipped)
        ]

    @property
    def clamped(self) -> list[str]:
        """Reports on clamped boxes and on outlines left out of each dataset, of the rows read."""
        datasets = {id(source.dataset): source.dataset for source in self.sources}.values()
        reports = []
        for dataset in datasets:
            if boxes := getattr(dataset, "clamped_boxes", 0):
                reports.append(describe_clamped(boxes, dataset.clamped_rows))
            if outlines := getattr(dataset, "left_out_outlines", 0):
                reports.append(describe_left_out(outlines, dataset.left_out_rows))
        return reports


@contextmanager
def _errors_of_sample(source: str, component: Any) -> Iterator[None]:
    """Name the sample in whatever a transform or task raises about it."""
    try:
        yield
    except DataError as error:
        if error.source:
            raise
        raise error.at(source) from error
    except Exception as error:
        title = getattr(component, "__name__", type(component).__name__)
        message = str(error) if isinstance(error, ValueError) else repr(error)
        raise DataError(f"{title}: {message}", source) from error


def build_examples(
    cfg: Any, key: str, seed: int, training: bool, parser: Mapping[str, Any] | None = None
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
    return ExampleDataset(sources, seed, training)


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
    sources = [
        Source(task=task, **parts) for task in ([tasks] if training and len(tasks) > 1 else tasks)
    ]
    if getattr(parts["dataset"], "on_error", "raise") == "skip":
        _skip_unaskable(sources, parts["dataset"], training, key)
    return sources


def _skip_unaskable(sources: Sequence[Source], dataset: Any, training: bool, key: str) -> None:
    """Leave the rows out of each source that its task, or one of its tasks, cannot ask about."""
    rows: list[list[int]] = [[] for _ in sources]
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(dataset), 2 * workers):
            block = range(len(dataset))[start : start + 2 * workers]
            for row, sample in zip(block, pool.map(dataset.__getitem__, block), strict=True):
                for number, source in enumerate(sources):
                    error = _unaskable(source, sample, training)
                    if error is None:
                        rows[number].append(row)
                    else:
                        source.skipped.append(error)
    for source, its_rows in zip(sources, rows, strict=True):
        if not source.skipped:
            continue
        number, first = len(source.skipped), source.skipped[0]
        if not its_rows:
            raise ConfigError(f"{key}: no row of the dataset can be used; the first: {first}")
        source.rows = np.array(its_rows, dtype=np.int64)
        logger.warning(
            "%s: %d of %d rows are skipped, since the task cannot ask about them; the first: %s",
            *(key, number, len(dataset), first),
        )


def _unaskable(source: Source, sample: Sample, training: bool) -> DataError | None:
    """Return the error that a task raises about a sample, a new one that keeps no image alive."""
    for task in source.task if isinstance(source.task, Sequence) else [source.task]:
        try:
            task.example(sample, np.random.default_rng(0), training)
        except DataError as error:
            return error.at(error.source or sample.source)
        except Exception:  # noqa: BLE001 - no row to skip; raised with its place when it is asked
            return None
    return None


def _dataset(cfg: Any, key: str) -> Any:
    if cfg is None:
        raise ConfigError(f"{key}: missing; a source needs a dataset and a task")
    dataset = DATASETS.build(cfg, key=key)
    with errors_at(key, cfg):
        size = len(dataset)
    if not size:
        raise ConfigError(f"{key}: the dataset has no samples")
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
