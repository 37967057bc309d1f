"""Synthetic images of coloured shapes, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from rexkit.datasets.synthetic_dataset import SyntheticDataset
from rexkit.registry import DATASETS
from rexkit.structures import Annotation, ImageSize, Instance

Style = Literal["color", "shape", "color shape"]

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 90, 220),
    "yellow": (245, 214, 35),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
    "orange": (255, 140, 20),
    "purple": (140, 60, 190),
    "cyan": (40, 200, 220),
    "pink": (255, 150, 190),
    "brown": (130, 80, 45),
    "gray": (128, 128, 128),
}


@DATASETS.register_module()
class ShapesDataset(SyntheticDataset):
    """Images of one to a few coloured shapes, with boxes and points (their centres).

    Sample ``i`` depends on ``(seed, i)`` alone, whatever process draws it.

    Args:
        size: number of images.
        seed: data sets with different seeds share no image.
        image_size: (width, height) of an image.
        colors: names, keys of ``COLORS``.
        shapes: names, keys of ``SHAPES``.
        styles: how phrases name an object, one style an image: "color" ("red"), "shape" ("circle"),
            "color shape" ("red circle").
        num_objects: fewest and most objects in an image; they do not touch.
        num_absent: fewest and most phrases named that are not in the image.
        object_size: smallest and largest side of an object, as a share of the image's
            shorter side.
        repeat: chance that an object looks like one drawn before it, so that an image has several
            of a kind, for visual prompts and counting.

    >>> sample = ShapesDataset(size=3, seed=1)[0]
    >>> sample.image.size, sample.annotation.boxes().shape[1]
    ((128, 128), 4)
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        image_size: ImageSize = (128, 128),
        colors: Sequence[str] = ("red", "green", "blue", "yellow"),
        shapes: Sequence[str] = ("circle", "square", "triangle"),
        styles: Sequence[Style] = ("color shape",),
        num_objects: tuple[int, int] = (1, 3),
        num_absent: tuple[int, int] = (1, 1),
        object_size: tuple[float, float] = (0.2, 0.45),
        repeat: float = 0.0,
    ):
        _check_known("colors", colors, COLORS)
        _check_known("shapes", shapes, SHAPES)
        _check_known("styles", styles, _NAMING)
        super().__init__(size, seed, image_size)
        self.colors, self.shapes, self.styles = tuple(colors), tuple(shapes), tuple(styles)
        self.num_objects, self.num_absent = num_objects, num_absent
        self.object_size = object_size
        if not 0 <= repeat <= 1:
            raise ValueError(f"repeat: must be from 0 to 1, got {repeat!r}")
        self.repeat = repeat

    def phrases(self, style: Style) -> list[str]:
        """Return every phrase of a style."""
        return _NAMING[style](self.colors, self.shapes)

    def draw(self, rng: np.random.Generator) -> tuple[Image.Image, Annotation]:
        """Draw an image, and return it with its ground truth."""
        style = self.styles[rng.integers(len(self.styles))]
        tone = int(rng.integers(150, 191)) + rng.integers(-12, 13, 3)
        image = Image.new("RGB", self.image_size, tuple(tone.tolist()))
        draw = ImageDraw.Draw(image)
        boxes = self._draw_boxes(rng)
        instances: list[Instance] = []
        looks: list[tuple[str, str]] = []
        for box in boxes:
            color, shape = self._look(rng, looks)
            looks.append((color, shape))
            light = rng.integers(-18, 19, 3)
            fill = np.clip(np.array(COLORS[color]) + light, 0, 255)
            SHAPES[shape](draw, box, (int(fill[0]), int(fill[1]), int(fill[2])))
            phrase = style.replace("color", color).replace("shape", shape)
            x0, y0, x1, y1 = box
            center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
            instances.append(Instance(phrase, bbox=np.array(box, dtype=float), point=center))
        present = {i.phrase for i in instances}
        others = [p for p in self.phrases(style) if p not in present]
        number = min(int(rng.integers(self.num_absent[0], self.num_absent[1] + 1)), len(others))
        absent = [others[i] for i in rng.permutation(len(others))[:number]]
        return image, Annotation(self.image_size, instances, absent)

    def _look(self, rng: np.random.Generator, before: list[tuple[str, str]]) -> tuple[str, str]:
        """Draw colour and shape of the next object."""
        # No random number is drawn where repeat is 0: samples stay the same as before it existed.
        if self.repeat and before and rng.random() < self.repeat:
            return before[rng.integers(len(before))]
        color = self.colors[rng.integers(len(self.colors))]
        return color, self.shapes[rng.integers(len(self.shapes))]

    def _draw_boxes(self, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
        """Draw boxes that do not touch, from left to right."""
        width, height = self.image_size
        shorter = min(width, height)
        wanted = int(rng.integers(self.num_objects[0], self.num_objects[1] + 1))
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(40 * wanted):
            if len(boxes) == wanted:
                break
            side = rng.uniform(*self.object_size) * shorter
            stretch = rng.uniform(0.8, 1.25)
            w, h = int(side * math.sqrt(stretch)), int(side / math.sqrt(stretch))
            x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
            if all(
                x > x1 + 2 or x + w < x0 - 2 or y > y1 + 2 or y + h < y0 - 2
                for x0, y0, x1, y1 in boxes
            ):
                boxes.append((x, y, x + w, y + h))
        return sorted(boxes)


Painter = Callable[[ImageDraw.ImageDraw, tuple[int, int, int, int], tuple[int, int, int]], None]


def _outline(*corners: tuple[float, float]) -> Painter:
    """Return the painter of a shape given by its corners in the unit square."""

    def paint(
        draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], fill: tuple[int, int, int]
    ) -> None:
        x0, y0, x1, y1 = box
        draw.polygon([(x0 + u * (x1 - x0), y0 + v * (y1 - y0)) for u, v in corners], fill)

    return paint


def _ellipse(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], fill: tuple[int, int, int]
) -> None:
    draw.ellipse(box, fill)


def _ring(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], fill: tuple[int, int, int]
) -> None:
    draw.ellipse(box, None, fill, max(2, (box[2] - box[0]) // 5))


def _star(points: int = 5, inner: float = 0.42) -> Painter:
    turn = [math.pi * i / points - math.pi / 2 for i in range(2 * points)]
    xy = [
        ((inner if i % 2 else 1) * math.cos(a), (inner if i % 2 else 1) * math.sin(a))
        for i, a in enumerate(turn)
    ]
    left, top = min(x for x, _ in xy), min(y for _, y in xy)
    wide, high = max(x for x, _ in xy) - left, max(y for _, y in xy) - top
    return _outline(*(((x - left) / wide, (y - top) / high) for x, y in xy))


SHAPES: dict[str, Painter] = {
    "circle": _ellipse,
    "square": _outline((0, 0), (1, 0), (1, 1), (0, 1)),
    "triangle": _outline((0.5, 0), (1, 1), (0, 1)),
    "cross": _outline(
        *((0.33, 0), (0.67, 0), (0.67, 0.33), (1, 0.33), (1, 0.67), (0.67, 0.67)),
        *((0.67, 1), (0.33, 1), (0.33, 0.67), (0, 0.67), (0, 0.33), (0.33, 0.33)),
    ),
    "star": _star(),
    "diamond": _outline((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    "ring": _ring,
    "hexagon": _outline((0.25, 0), (0.75, 0), (1, 0.5), (0.75, 1), (0.25, 1), (0, 0.5)),
    "arrow": _outline(
        *((0, 0.3), (0.5, 0.3), (0.5, 0), (1, 0.5)), *((0.5, 1), (0.5, 0.7), (0, 0.7))
    ),
}

_NAMING: dict[str, Callable[[Sequence[str], Sequence[str]], list[str]]] = {
    "color": lambda colors, shapes: list(colors),
    "shape": lambda colors, shapes: list(shapes),
    "color shape": lambda colors, shapes: [f"{c} {s}" for c in colors for s in shapes],
}


def _check_known(argument: str, names: Sequence[str], known: Sequence[str] | dict) -> None:
    if not names:
        raise ValueError(f"{argument}: an empty list draws nothing; name at least one")
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: unknown {name!r}; known are {', '.join(known)}")
