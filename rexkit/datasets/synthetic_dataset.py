"""Base class of data sets that are drawn from a seed, without a download."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from PIL.Image import Image

from rexkit.structures import Annotation, ImageSize, Sample


class SyntheticDataset(ABC):
    """A sequence of samples, each drawn when it is read.

    Sample ``i`` depends on ``(seed, i)`` alone, whatever process draws it.

    Args:
        size: number of images.
        seed: data sets with different seeds share no image.
        image_size: (width, height) of an image.
    """

    def __init__(self, size: int, seed: int, image_size: ImageSize):
        for name, value in {"size": size, "seed": seed}.items():
            if value < 0:
                raise ValueError(f"{name}: must be 0 or more, got {value!r}")
        self.size, self.seed = size, seed
        self.image_size = (int(image_size[0]), int(image_size[1]))

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[Image, Annotation]:
        """Draw an image, and return it with its ground truth.

        Args:
            rng: the only source of random choices.

        Returns:
            The image, RGB, and its annotation in pixels.
        """

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.size:
            raise IndexError(f"sample {index} of {self.size}")
        image, annotation = self.draw(np.random.default_rng((self.seed, index)))
        return Sample(image, annotation, f"{type(self).__name__}(seed={self.seed})[{index}]")
