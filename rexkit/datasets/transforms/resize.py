"""Samples in another size."""

from __future__ import annotations

import numpy as np

from rexkit.datasets.transforms.draws import check_span
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_sample
from rexkit.registry import TRANSFORMS
from rexkit.structures import ImageSize, Sample


@TRANSFORMS.register_module()
class Resize:
    """Resizes a sample: to a size, to a longest side, or by a factor that is drawn.

    The model's own ``min_pixels`` and ``max_pixels`` apply afterwards; this changes how large
    objects are in what the model sees.

    Args:
        size: (width, height) that every image gets, whatever its shape.
        longest: the longest side that every image gets, its shape kept.
        scale: smallest and largest factor; the image's shape is kept. Exactly one of the three must
            be given.

    Raises:
        ValueError: none or several are given, or one that is no size.
    """

    def __init__(
        self,
        size: ImageSize | None = None,
        longest: int | None = None,
        scale: tuple[float, float] | None = None,
    ):
        if sum(argument is not None for argument in (size, longest, scale)) != 1:
            raise ValueError("give exactly one of size, longest and scale")
        self.size = None if size is None else (int(size[0]), int(size[1]))
        if min(self.size or (1, 1)) < 1 or (longest is not None and longest < 1):
            raise ValueError("size and longest: expected pixels above 0")
        self.longest = longest
        self.scale = None if scale is None else check_span("scale", scale, 0.01, 100)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample in its new size."""
        width, height = old = sample.annotation.image_size
        if self.size is not None:
            new = self.size
        else:
            factor = rng.uniform(*self.scale) if self.scale else self.longest / max(old)  # type: ignore[operator]
            new = (max(1, round(width * factor)), max(1, round(height * factor)))
        return sample if new == old else warp_sample(sample, Warp.resize(old, new))
