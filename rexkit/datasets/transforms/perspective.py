"""Samples seen from another side."""

from __future__ import annotations

import numpy as np

from rexkit.datasets.transforms.draws import check_share, happens
from rexkit.datasets.transforms.warp import GREY, Color, Warp
from rexkit.datasets.transforms.warped_annotations import BoxOutline, warp_sample
from rexkit.geometry import box_corners
from rexkit.registry import TRANSFORMS
from rexkit.structures import Sample


@TRANSFORMS.register_module()
class RandomPerspective:
    """Moves the corners of a sample at random, as if it was seen from another side.

    Args:
        strength: how far a corner moves at most, inward or outward, as a share of each side of the
            image: from 0 to 0.24.
        probability: of a change, in [0, 1].
        min_visible: as in `RandomCrop`.
        boxes, fill: as in `RandomRotate`.
    """

    def __init__(
        self,
        strength: float = 0.1,
        probability: float = 1.0,
        min_visible: float = 0.5,
        boxes: BoxOutline = "corners",
        fill: Color = GREY,
    ):
        if not 0 <= strength <= 0.24:  # from a quarter on, three corners may be on a line
            raise ValueError(f"strength: expected a number from 0 to 0.24, got {strength!r}")
        if boxes not in ("corners", "ellipse"):
            raise ValueError(f"boxes: {boxes!r} is neither 'corners' nor 'ellipse'")
        self.strength = strength
        self.probability = check_share("probability", probability)
        self.min_visible = check_share("min_visible", min_visible)
        self.boxes = boxes
        self.fill: Color = (fill[0], fill[1], fill[2])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample from another side, by chance."""
        if not happens(self.probability, rng):
            return sample
        size = sample.annotation.image_size
        moves = rng.uniform(-self.strength, self.strength, (4, 2)) * size
        warp = Warp.corners(size, box_corners([0, 0, *size]) + moves)
        return warp_sample(sample, warp, self.min_visible, self.boxes, self.fill)
