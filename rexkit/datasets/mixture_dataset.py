"""Several datasets mixed by weights or by a temperature, as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rexkit.datasets.concat_dataset import ConcatDataset
from rexkit.datasets.mixture_shares import apportioned, check_temperature, temperature_shares
from rexkit.registry import DATASETS


@DATASETS.register_module()
class MixtureDataset(ConcatDataset):
    """Several datasets mixed by weights or by a temperature, for one task.

    The samples of a dataset are spread evenly over the mixture, each in its own order, and a
    dataset is gone through as often as its share asks for. Sources of different tasks are mixed by
    ``train_data=dict(sources=[…])`` instead, which also draws other samples in every epoch.

    Args:
        datasets: configs of DATASETS, or datasets.
        weights: the share of each, relative to the others; left out, their sizes.
        temperature: makes the shares more alike: proportional to ``size ** (1 / temperature)``;
            1 or more, and without ``weights``.
        size: number of samples; left out, as many as it takes to go through every dataset once.

    Raises:
        ValueError: weights, temperature or size is not as described, or a dataset is empty.

    >>> shapes = dict(type="ShapesDataset", size=2)
    >>> mixture = MixtureDataset([shapes, dict(shapes, size=6, seed=1)], weights=[1, 1])
    >>> len(mixture), [mixture.locate(i) for i in range(4)]
    (12, [(0, 0), (1, 0), (0, 1), (1, 1)])
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        weights: Sequence[float] | None = None,
        temperature: float = 1.0,
        size: int | None = None,
    ):
        super().__init__(datasets)
        sizes = [len(dataset) for dataset in self.datasets]
        if not sizes or not all(sizes):
            raise ValueError(f"datasets: each must have samples, got the sizes {sizes}")
        check_temperature(temperature)
        if weights is not None:
            if temperature != 1:
                raise ValueError("temperature: give either weights or a temperature")
            if len(weights) != len(sizes) or not all(_is_positive(w) for w in weights):
                raise ValueError(
                    f"weights: must be {len(sizes)} numbers above 0, one for each dataset, got "
                    f"{weights!r}"
                )
        if size is not None and (type(size) is not int or size < 1):
            raise ValueError(f"size: must be a whole number above 0, got {size!r}")
        shares = temperature_shares(sizes if weights is None else weights, temperature)
        if size is None:  # the dataset that is gone through slowest, once
            size = math.ceil(round(float((np.array(sizes) / shares).max()), 6))
        self.counts = apportioned(shares * size, size)
        if weights is None and temperature == 1 and size == sum(sizes):
            self.counts = sizes
        numbers = np.repeat(np.arange(len(sizes)), self.counts)
        within = np.concatenate([np.arange(n) for n in self.counts])
        order = np.argsort((within + 0.5) / np.repeat(self.counts, self.counts), kind="stable")
        self._numbers, self._places = numbers[order].astype(np.int16), within[order]

    def __len__(self) -> int:
        return len(self._numbers)

    def locate(self, index: int) -> tuple[int, int]:
        """Return the number of the dataset that a sample is of, and its index there."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(self._numbers[index])
        return number, int(self._places[index]) % len(self.datasets[number])


def _is_positive(weight: Any) -> bool:
    return isinstance(weight, int | float) and math.isfinite(weight) and weight > 0
