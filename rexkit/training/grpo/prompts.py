"""Prompts of reinforcement learning: examples, each repeated for a group of completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from torch.utils.data import Dataset

from rexkit.examples import ExampleDataset, Key
from rexkit.structures import Example
from rexkit.training.sampler import EpochSampler


class PromptDataset(Dataset[dict[str, Any]]):
    """Rows as TRL takes them: ``prompt`` (a conversation), ``image``, and what rewards look at.

    The rest of a row is ``example`` (`Example`) and ``source``, the number of the source it comes
    from in ``examples.sources``.

    Args:
        examples: the questions. A source with several tasks for each image becomes one
            source a task, for every group has one prompt.
        system_prompt: as in `Encoder`.
        first_source: the number of the first source.
    """

    def __init__(
        self, examples: ExampleDataset, system_prompt: str | None = None, first_source: int = 0
    ):
        self.examples = examples.split_tasks()
        self.system_prompt = system_prompt
        self.first_source = first_source

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, keys: Sequence[int | Key]) -> list[dict[str, Any]]:
        """Rows of a batch; those of one key are made once and share their image."""
        made = {key: self[key] for key in dict.fromkeys(keys)}
        return [dict(made[key]) for key in keys]

    def __getitem__(self, key: int | Key) -> dict[str, Any]:
        example: Example = self.examples[key]
        prompt = [{"role": "user", "content": example.prompt}]
        if self.system_prompt is not None:
            prompt.insert(0, {"role": "system", "content": self.system_prompt})
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return {
            "prompt": prompt,
            "image": example.image,
            "example": example,
            "source": self.first_source + self.examples.source_of(index, epoch),
        }


class GroupSampler(EpochSampler):
    """Every prompt ``group`` times in a row, every batch of prompts ``rounds`` times over.

    The order depends on (seed, epoch) alone. Prompts that fill no whole batch are left for another
    epoch, whose order differs.

    Args:
        length: of the data set.
        seed: of the order.
        group: completions of a prompt.
        prompts: different prompts in a batch.
        rounds: how often a batch is handed out, for trainers that take several steps on it.

    >>> [index for _, index in GroupSampler(3, seed=0, group=2, prompts=1, rounds=2)]
    [2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1]
    """

    def __init__(self, length: int, seed: int, group: int, prompts: int, rounds: int = 1):
        super().__init__(length, seed)
        self.group, self.prompts, self.rounds = group, prompts, rounds

    def __len__(self) -> int:
        return self.length // self.prompts * self.prompts * self.group * self.rounds

    def __iter__(self) -> Iterator[Key]:
        order = super().__iter__()
        for _ in range(self.length // self.prompts):
            batch = [key for key in islice(order, self.prompts) for _ in range(self.group)]
            for _ in range(self.rounds):
                yield from batch
