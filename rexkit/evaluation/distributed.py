"""The processes of one test, as torchrun starts them: their shares, and what they exchange."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from rexkit.metrics.metric import State

# One process may wait long for another; torchrun notices those that died.
_TIMEOUT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a test; alone, it does everything and sends nothing.

    Attributes:
        rank: number of this one; the first writes and prints.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    def share(self, numbers: Sequence[int]) -> Sequence[int]:
        """Return those of some numbers that are this process's share.

        >>> Processes(1, 3).share(range(10))
        range(1, 10, 3)
        """
        return numbers[self.rank :: self.count]

    def gather_records(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the records of all processes, sorted by their ``index``."""
        if self.count == 1:
            return records
        every = [json.loads(part) for part in self._gather(json.dumps(records).encode())]
        return sorted((r for part in every for r in part), key=lambda record: record["index"])

    def gather_states(self, states: Mapping[str, State]) -> list[dict[str, State]]:
        """Return the states of all processes' metrics, by rank and by the name each was given."""
        file = io.BytesIO()
        keys = [(name, key) for name, state in states.items() for key in state]
        named: dict[str, Any] = {f"array_{i}": states[n][k] for i, (n, k) in enumerate(keys)}
        np.savez(file, **named)
        every: list[dict[str, State]] = []
        for names, arrays in zip(
            self._gather(json.dumps(keys).encode()), self._gather(file.getvalue()), strict=True
        ):
            found: dict[str, State] = {name: {} for name in states}
            with np.load(io.BytesIO(arrays), allow_pickle=False) as table:
                for i, (name, key) in enumerate(json.loads(names)):
                    found[name][key] = table[f"array_{i}"]
            every.append(found)
        return every

    def _gather(self, data: bytes) -> list[bytes]:
        """Gather the bytes of each process, by rank."""
        if self.count == 1:
            return [data]
        import torch
        import torch.distributed as dist

        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(data)]))
        longest = max(int(size) for size in sizes)
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        every = [torch.zeros_like(mine) for _ in sizes]
        dist.all_gather(every, mine)
        return [
            part[: int(size)].numpy().tobytes() for part, size in zip(every, sizes, strict=True)
        ]


ALONE = Processes()


def is_main_process() -> bool:
    """Return whether this process is the one that writes, among those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def use_own_accelerator() -> None:
    """Use the accelerator with this process's number on the machine, if torchrun started several.

    It must be called before a model is loaded.
    """
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and torch.accelerator.is_available():
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))


@contextmanager
def distributed_processes() -> Iterator[Processes]:
    """Connect the processes that torchrun started while the context lasts.

    They exchange data over gloo, through the processor's memory, since it is small; each uses the
    accelerator of its own local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    import torch.distributed as dist

    use_own_accelerator()
    dist.init_process_group("gloo", timeout=_TIMEOUT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
