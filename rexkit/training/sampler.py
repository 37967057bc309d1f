"""The order of training examples, fixed by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from rexkit.examples import Key


class EpochSampler(Sampler[Key]):
    """Goes through a data set in an order that depends on (seed, epoch) alone.

    Args:
        length: of the data set.
        seed: of the order.
    """

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the trainer calls this at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        return ((epoch, int(index)) for index in order)
