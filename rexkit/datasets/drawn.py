"""Pictures drawn on the fly from a seed: data without a download."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from PIL.Image import Image

from rexkit.structures import Annotation, ImageSize, Sample


class DrawnDataset(ABC):
    """A sequence of samples that are drawn when they are asked for.

    Sample ``i`` depends on ``(seed, i)`` alone, whatever process draws it.

    Args:
        size: how many pictures.
        seed: two data sets with different seeds share no picture.
        image_size: (width, height) of a picture.
    """

    def __init__(self, size: int, seed: int, image_size: ImageSize):
        self.size, self.seed = size, seed
        self.image_size = (int(image_size[0]), int(image_size[1]))

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[Image, Annotation]:
        """A picture, RGB, and its truth, both of nothing but what the generator gives."""

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.size:
            raise IndexError(f"sample {index} of {self.size}")
        picture, truth = self.draw(np.random.default_rng((self.seed, index)))
        return Sample(picture, truth, f"{type(self).__name__}(seed={self.seed})[{index}]")
