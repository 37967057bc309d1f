"""Synthetic microscope images of blood cells, in the colours and with the names of BCCD."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rexkit import DATASETS, Annotation, Instance
from rexkit.datasets import SyntheticDataset
from rexkit.structures import ImageSize

Circle = tuple[float, float, float]
Color = tuple[int, int, int]

PLASMA: Color = (236, 222, 218)
RED_CELL, RED_RIM, RED_CENTER = (222, 150, 142), (204, 122, 118), (234, 184, 174)
WHITE_CELL, NUCLEUS, PLATELET = (196, 178, 214), (104, 62, 150), (132, 86, 168)

RADII = {"RBC": (0.1, 0.125), "WBC": (0.17, 0.2), "Platelets": (0.035, 0.045)}
"""Smallest and largest radius of each kind, as a share of the image's shorter side."""

_OVERSAMPLING = 2
_ATTEMPTS = 80


@DATASETS.register_module()
class CellsDataset(SyntheticDataset):
    """Images of red blood cells ("RBC"), white ones ("WBC") and "Platelets", drawn from a seed.

    Args:
        size: Number of images.
        seed: Two data sets with different seeds share no image.
        image_size: (width, height) of an image in pixels.
        num_red: Fewest and most red cells in an image.
        num_white: Fewest and most white cells.
        num_platelets: Fewest and most platelets.

    >>> sample = CellsDataset(size=2, seed=1)[0]
    >>> sample.image.size, {i.phrase for i in sample.annotation.instances} <= set(RADII)
    ((128, 128), True)
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        image_size: ImageSize = (128, 128),
        num_red: tuple[int, int] = (2, 4),
        num_white: tuple[int, int] = (0, 1),
        num_platelets: tuple[int, int] = (0, 2),
    ):
        super().__init__(size, seed, image_size)
        # The largest first, while there is room for them.
        self.numbers = {"WBC": num_white, "RBC": num_red, "Platelets": num_platelets}

    def draw(self, rng: np.random.Generator) -> tuple[Image.Image, Annotation]:
        """Return an image and the boxes of its cells."""
        canvas = (self.image_size[0] * _OVERSAMPLING, self.image_size[1] * _OVERSAMPLING)
        image = Image.new("RGB", canvas, _tinted(rng, PLASMA))
        drawing = ImageDraw.Draw(image)
        cells: list[tuple[str, Circle]] = []
        for phrase, (fewest, most) in self.numbers.items():
            for _ in range(int(rng.integers(fewest, most + 1))):
                circle = self._place(rng, RADII[phrase], [taken for _, taken in cells])
                if circle is None:
                    continue
                cells.append((phrase, circle))
                x, y, radius = (_OVERSAMPLING * value for value in circle)
                _PAINTERS[phrase](drawing, (x, y, radius), rng)
        image = image.filter(ImageFilter.GaussianBlur(canvas[1] / 320)).reduce(_OVERSAMPLING)
        instances = [
            Instance(phrase, bbox=np.array([x - radius, y - radius, x + radius, y + radius]))
            for phrase, (x, y, radius) in sorted(cells, key=lambda cell: cell[1][0] - cell[1][2])
        ]
        present = {phrase for phrase, _ in cells}
        absent = [phrase for phrase in RADII if phrase not in present]
        return image, Annotation(self.image_size, instances, absent)

    def _place(
        self, rng: np.random.Generator, radii: tuple[float, float], taken: list[Circle]
    ) -> Circle | None:
        """A circle that touches no other, or None if none was found."""
        width, height = self.image_size
        shorter = min(width, height)
        gap = 0.015 * shorter
        for _ in range(_ATTEMPTS):
            radius = rng.uniform(*radii) * shorter
            x = rng.uniform(radius + gap, width - radius - gap)
            y = rng.uniform(radius + gap, height - radius - gap)
            if all(math.hypot(x - u, y - v) > radius + r + gap for u, v, r in taken):
                return x, y, radius
        return None


def _tinted(rng: np.random.Generator, color: Color) -> Color:
    """The color a little lighter or darker, and of a slightly different hue."""
    change = rng.integers(-10, 11) + rng.integers(-3, 4, 3)
    red, green, blue = np.clip(np.array(color) + change, 0, 255).tolist()
    return red, green, blue


def _disc(drawing: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Color) -> None:
    drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill)


def _red_cell(drawing: ImageDraw.ImageDraw, circle: Circle, rng: np.random.Generator) -> None:
    """A disc with a darker rim and a paler middle."""
    x, y, radius = circle
    _disc(drawing, x, y, radius, _tinted(rng, RED_RIM))
    _disc(drawing, x, y, 0.9 * radius, _tinted(rng, RED_CELL))
    dx, dy = rng.uniform(-0.1, 0.1, 2) * radius
    _disc(drawing, x + dx, y + dy, 0.42 * radius, _tinted(rng, RED_CENTER))


def _white_cell(drawing: ImageDraw.ImageDraw, circle: Circle, rng: np.random.Generator) -> None:
    """A pale disc with a dark nucleus of three lobes."""
    x, y, radius = circle
    _disc(drawing, x, y, radius, _tinted(rng, WHITE_CELL))
    color, turn = _tinted(rng, NUCLEUS), rng.uniform(0, 2 * math.pi)
    for lobe in range(3):
        angle = turn + lobe * rng.uniform(1.7, 2.3)
        reach = 0.36 * radius
        _disc(
            drawing, x + reach * math.cos(angle), y + reach * math.sin(angle), 0.4 * radius, color
        )


def _platelet(drawing: ImageDraw.ImageDraw, circle: Circle, rng: np.random.Generator) -> None:
    """A small disc with a darker middle."""
    x, y, radius = circle
    _disc(drawing, x, y, radius, _tinted(rng, PLATELET))
    _disc(drawing, x, y, 0.5 * radius, _tinted(rng, NUCLEUS))


_PAINTERS = {"RBC": _red_cell, "WBC": _white_cell, "Platelets": _platelet}
