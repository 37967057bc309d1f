"""Synthetic images of stick figures with keypoints, drawn from a seed."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from rexkit.datasets.shapes_dataset import COLORS
from rexkit.datasets.synthetic_dataset import SyntheticDataset
from rexkit.keypoints import SCHEMAS
from rexkit.registry import DATASETS
from rexkit.structures import Annotation, Array, ImageSize, Instance

Color = tuple[int, int, int]

LIMBS = {"left hand": "blue", "right hand": "red", "left ankle": "cyan", "right ankle": "orange"}
"""The colour of the limb that ends in each keypoint."""

# In heights of a figure: radius of the head, where arms and legs begin, radius of hands and feet.
_HEAD, _SHOULDER, _HIP, _END = 0.13, 0.3, 0.55, 0.045


@DATASETS.register_module()
class StickFiguresDataset(SyntheticDataset):
    """Stick figures that face the viewer, with boxes and the keypoints of the schema "figure".

    Each limb has a colour of its own, so that left can be told from right; a mirror image
    would contradict the colours, so do not use RandomFlip. A limb may be missing: its keypoint is
    then not visible. Sample ``i`` depends on ``(seed, i)`` alone, whatever process draws it.

    Args:
        size: number of images.
        seed: data sets with different seeds share no image.
        image_size: (width, height) of an image.
        phrase: of every figure.
        num_figures: fewest and most in an image, beside each other from left to right.
        figure_size: least and most height of a figure, as a share of the image's.
        missing: chance that a figure lacks one of its limbs.

    >>> (person,) = StickFiguresDataset(size=3, seed=1)[0].annotation.instances
    >>> person.phrase, list(person.keypoints)
    ('person', ['nose', 'left hand', 'right hand', 'left ankle', 'right ankle'])
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        image_size: ImageSize = (128, 128),
        phrase: str = "person",
        num_figures: tuple[int, int] = (1, 1),
        figure_size: tuple[float, float] = (0.5, 0.9),
        missing: float = 0.25,
    ):
        super().__init__(size, seed, image_size)
        self.phrase = phrase
        self.num_figures, self.figure_size, self.missing = num_figures, figure_size, missing

    def draw(self, rng: np.random.Generator) -> tuple[Image.Image, Annotation]:
        """Draw an image, and return it with its ground truth."""
        tone = int(rng.integers(150, 226)) + rng.integers(-12, 13, 3)
        image = Image.new("RGB", self.image_size, tuple(tone.tolist()))
        draw = ImageDraw.Draw(image)
        number = int(rng.integers(self.num_figures[0], self.num_figures[1] + 1))
        share = self.image_size[0] / number
        figures = [self._figure(draw, rng, k * share, (k + 1) * share) for k in range(number)]
        return image, Annotation(self.image_size, figures)

    def _figure(
        self, draw: ImageDraw.ImageDraw, rng: np.random.Generator, start: float, end: float
    ) -> Instance:
        """Draw a figure somewhere between two columns of the image."""
        keypoints = _pose(rng)
        if rng.random() < self.missing:
            del keypoints[list(LIMBS)[rng.integers(len(LIMBS))]]
        head, shoulder, hip = (np.array([0.0, y]) for y in (_HEAD, _SHOULDER, _HIP))
        ends = np.array([*keypoints.values()])
        low = np.minimum(ends.min(axis=0) - _END, head - _HEAD)
        high = np.maximum(ends.max(axis=0) + _END, head + _HEAD)
        # As high as drawn, unless it would be too wide for its place.
        room = np.array([end - start, self.image_size[1]]) - 4
        scale = min(rng.uniform(*self.figure_size) * room[1], *(room / (high - low)))
        origin = [start + 2, 2] + rng.random(2) * (room - scale * (high - low)) - scale * low

        def at(place: Array) -> tuple[float, float]:
            x, y = origin + scale * place
            return float(x), float(y)

        def dot(place: Array, radius: float, fill: Color, outline: Color | None = None) -> None:
            draw.ellipse([*at(place - radius), *at(place + radius)], fill, outline)

        black, width = COLORS["black"], max(2, round(scale * _END))
        draw.line([at(shoulder), at(hip)], black, width)
        for name, place in keypoints.items():
            joint, color = shoulder if name.endswith("hand") else hip, COLORS[LIMBS[name]]
            draw.line([at(joint), at(place)], color, width)
            dot(place, _END, color)
        draw.line([at(head), at(shoulder)], black, width)
        dot(head, _HEAD, COLORS["yellow"], black)
        dot(head, _END / 2, black)
        # Pillow paints the pixel of a corner too: a box ends behind it, a keypoint is its middle.
        points = {n: np.array(at(xy)) + 0.5 for n, xy in {"nose": head, **keypoints}.items()}
        return Instance(
            self.phrase,
            bbox=np.add([*at(low), *at(high)], [0, 0, 1, 1]),
            keypoints={name: points.get(name) for name in SCHEMAS["figure"].keypoints},
        )


def _pose(rng: np.random.Generator) -> dict[str, Array]:
    """Draw where the limbs end, in heights of a figure from the top of its head; left is right.

    An arm turns from nearly hanging to nearly upright, a leg from upright to half a split.
    """
    points = {}
    for name in LIMBS:
        side = 1 if name.startswith("left") else -1
        if name.endswith("hand"):
            angle, length, joint = rng.uniform(-1.0, 1.2), rng.uniform(0.26, 0.34), _SHOULDER
        else:
            angle, length, joint = rng.uniform(0.9, 1.45), rng.uniform(0.4, 0.45), _HIP
        points[name] = np.array([side * length * math.cos(angle), joint + length * math.sin(angle)])
    return points
