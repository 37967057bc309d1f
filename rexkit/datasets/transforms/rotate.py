"""Turned samples: by quarters, and by any angle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.datasets.transforms.draws import check_share, happens
from rexkit.datasets.transforms.sided_phrases import check_sided, refuse_places
from rexkit.datasets.transforms.warp import GREY, Color, Warp
from rexkit.datasets.transforms.warped_annotations import BoxOutline, warp_sample
from rexkit.registry import TRANSFORMS
from rexkit.structures import Sample

_STILL_TRUE = 45.0
"""In degrees: what is on the left of an image is still there after a turn by less."""


@TRANSFORMS.register_module()
class Rotate90:
    """Turns a sample by quarters, which moves every pixel and geometry exactly.

    Phrases that name a place in the image, such as "left cup" or "upper shelf", are an error.

    Args:
        probability: of turning, in [0, 1].
        turns: the numbers of clockwise quarters to draw from.
        phrases: "keep" where such words are no places; none is then refused.
    """

    def __init__(
        self, probability: float = 0.75, turns: Sequence[int] = (1, 2, 3), phrases: str = "swap"
    ):
        if not turns:
            raise ValueError("turns: an empty list; give 1, 2 or 3")
        self.probability = check_share("probability", probability)
        self.turns = tuple(turns)
        self.phrases = check_sided(phrases)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, turned by chance."""
        if self.phrases == "swap":
            refuse_places(sample, self, "turns the image by quarters")
        if not happens(self.probability, rng):
            return sample
        turns = self.turns[rng.integers(len(self.turns))]
        return warp_sample(sample, Warp.quarter_turns(sample.annotation.image_size, turns))


@TRANSFORMS.register_module()
class RandomRotate:
    """Turns a sample around its middle by a random angle.

    The box of an instance with a polygon or mask is the box around that, after the turn too.
    Another box becomes larger than its object, the more the larger the angle. Phrases that name a
    place are an error where ``degrees`` is more than 45.

    Args:
        degrees: the largest angle, either way.
        probability: of turning, in [0, 1].
        expand: make the image larger, so that nothing is cut.
        min_visible: as in `RandomCrop`.
        boxes: what of a box is turned: "corners", the box around them has all of the object; or
            "ellipse", the box around the ellipse in it is tighter for round objects.
        fill: RGB of what is outside of the image.
        phrases: as in `Rotate90`.
    """

    def __init__(
        self,
        degrees: float = 15.0,
        probability: float = 1.0,
        expand: bool = False,
        min_visible: float = 0.5,
        boxes: BoxOutline = "corners",
        fill: Color = GREY,
        phrases: str = "swap",
    ):
        if boxes not in ("corners", "ellipse"):
            raise ValueError(f"boxes: {boxes!r} is neither 'corners' nor 'ellipse'")
        self.degrees, self.expand = degrees, expand
        self.probability = check_share("probability", probability)
        self.min_visible = check_share("min_visible", min_visible)
        self.boxes = boxes
        self.fill: Color = (fill[0], fill[1], fill[2])
        self.phrases = check_sided(phrases)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, turned by chance."""
        if self.phrases == "swap" and self.degrees > _STILL_TRUE:
            refuse_places(sample, self, f"turns the image by up to {self.degrees:g}°")
        if not happens(self.probability, rng):
            return sample
        degrees = rng.uniform(-self.degrees, self.degrees)
        warp = Warp.rotation(sample.annotation.image_size, degrees, self.expand)
        return warp_sample(sample, warp, self.min_visible, self.boxes, self.fill)
