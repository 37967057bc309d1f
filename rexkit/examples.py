"""Samples to examples: sources mixed, every random choice fixed by (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import ConfigError
from rexkit.registry import DATASETS, TASK_FNS, TRANSFORMS
from rexkit.structures import Example, Sample

Key = tuple[int, int]
"""(epoch, index): what a sampler hands to the data set."""

_SOURCE_KEYS = ("dataset", "task", "transforms", "weight", "name", "rewards", "reward_name")

Item = Example | list[Example]
"""One question about an image, or several about the same one."""


@dataclass
class Source:
    """A data set, the task that asks about it, and how often it is drawn.

    Attributes:
        dataset: of DATASETS.
        task: of TASK_FNS; several are all asked of each image, which then gives a list of
            examples.
        transforms: of TRANSFORMS, applied in order; each takes (sample, generator).
        weight: how many times an epoch goes through it; 0.5 is every other sample, a different
            half in the next epoch.
        name: of the data set, in results; left out, it is made from the data set's class.
        rewards: of REWARDS, for reinforcement learning; left out, those of the trainer.
    """

    dataset: Any
    task: Any
    transforms: Sequence[Any] = ()
    weight: float = 1.0
    name: str = ""
    rewards: Sequence[Any] = ()

    def __len__(self) -> int:
        return max(1, round(len(self.dataset) * self.weight))


class ExampleDataset:
    """The examples of one or more sources.

    An item is an example, or a list of them where a source asks several tasks of each image.

    Args:
        sources: what is asked about what.
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
        first = int(self._ends[number]) - len(source)
        row = (index - first + epoch * len(source)) % len(source.dataset)
        sample = source.dataset[row]
        rng = np.random.default_rng((self.seed, epoch, index))
        for transform in source.transforms:
            sample = transform(sample, rng)
        if not isinstance(source.task, Sequence):
            return self._ask(source.task, sample, rng)
        return [self._ask(task, sample, rng) for task in source.task]

    def _ask(self, task: Any, sample: Sample, rng: np.random.Generator) -> Example:
        example: Example = task.example(sample, rng, self.training)
        example.image_path = sample.image_path
        return example

    def source_of(self, index: int) -> int:
        """The number of the source that an example comes from."""
        return int(np.searchsorted(self._ends, index, side="right"))

    @property
    def skipped(self) -> list[str]:
        """What ``on_error="skip"`` left out so far, in words."""
        return [str(e) for s in self.sources for e in getattr(s.dataset, "skipped", ())]


def build_examples(cfg: Any, key: str, seed: int, training: bool) -> ExampleDataset:
    """The examples that a config's ``train_data``, ``val_data`` or ``test_data`` describes.

    Args:
        cfg: one source, ``dict(dataset=…, task=…)`` with the other fields of `Source` if wanted,
            or a list. ``task=[…]`` asks several tasks of each image: in training together, so
            that ``packing`` can read the image once; otherwise as a source each.
            ``reward_name="…"`` is short for ``rewards=["…"]``.
        key: its name in the config, for messages.
        seed, training: as in `ExampleDataset`.
    """
    many = isinstance(cfg, Sequence)
    sources = []
    for i, source in enumerate(cfg if many else [cfg]):
        place = f"{key}.{i}" if many else key
        if not isinstance(source, Mapping):
            raise ConfigError(f"{place}: expected dict(dataset=…, task=…), got {source!r}")
        unknown = set(source) - set(_SOURCE_KEYS)
        missing = {"dataset", "task"} - set(source)
        if unknown or missing:
            wrong = f"unknown {sorted(unknown)}" if unknown else f"missing {sorted(missing)}"
            raise ConfigError(f"{place}: {wrong}; a source has {', '.join(_SOURCE_KEYS)}")
        name = source.get("name", "")
        if not isinstance(name, str) or name != Path(name).name or name == "..":
            raise ConfigError(f"{place}.name: {name!r} cannot be the name of a folder")
        dataset = DATASETS.build(source["dataset"], key=f"{place}.dataset")
        transforms = [
            TRANSFORMS.build(t, key=f"{place}.transforms.{n}")
            for n, t in enumerate(source.get("transforms", ()))
        ]
        tasks = _tasks(source["task"], f"{place}.task")
        asked = [tasks] if training and len(tasks) > 1 else tasks
        weight = source.get("weight", 1.0)
        rewards = source.get("rewards", ())
        if "reward_name" in source:
            if rewards:
                raise ConfigError(f"{place}: give either rewards or reward_name")
            rewards = [source["reward_name"]]
        sources += [Source(dataset, task, transforms, weight, name, rewards) for task in asked]
    return ExampleDataset(sources, seed, training)


def _tasks(cfg: Any, key: str) -> list[Any]:
    if not isinstance(cfg, (list, tuple)):
        return [TASK_FNS.build(cfg, key=key)]
    if not cfg:
        raise ConfigError(f"{key}: an empty list asks nothing; name at least one task")
    return [TASK_FNS.build(task, key=f"{key}.{i}") for i, task in enumerate(cfg)]
