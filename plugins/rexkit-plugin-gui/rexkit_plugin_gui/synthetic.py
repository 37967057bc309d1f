"""Synthetic screenshots, drawn on the fly from a seed: GUI data without a download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rexkit import DATASETS, Annotation, Instance
from rexkit.datasets import SyntheticDataset
from rexkit.structures import ImageSize

Box = tuple[int, int, int, int]
Color = tuple[int, int, int]
Words = Literal["look", "label"]
Platform = Literal["mobile", "desktop", "web"]

COLORS: dict[str, Color] = {
    "red": (214, 45, 45),
    "green": (46, 160, 67),
    "blue": (31, 95, 220),
    "yellow": (240, 205, 40),
    "black": (25, 25, 25),
    "orange": (245, 130, 30),
    "purple": (130, 60, 185),
    "pink": (250, 140, 185),
}
LABELS = ("Find", "Show", "Point", "Detect", "Locate", "Output", "menu", "image", "text", "more")
GLYPHS = ("plus", "arrow", "star", "circle", "diamond", "cross")
KINDS = ("button", "icon", "field")

_SIZES = {"button": ((38, 58), (17, 24)), "icon": ((24, 32), (0, 0)), "field": ((56, 84), (16, 21))}
"""Widths and heights of each kind on a screen whose shorter side is 128; an icon is square."""

_BAR = 14 / 128
"""Height of the bar on top, as a share of the shorter side."""

_INK, _PAPER, _GREY = (20, 20, 20), (255, 255, 255), (120, 120, 120)


@DATASETS.register_module()
class SyntheticScreenshotDataset(SyntheticDataset):
    """Draw screens of a phone, a window or a browser with buttons, icons and text fields.

    Sample ``i`` depends on ``(seed, i)`` alone. No two elements of a screen have the same phrase.
    ``extra`` of an element has ``platform`` (that of the screen) and ``data_type``: "icon" for
    icons, "text" for elements with a label.

    Args:
        size: number of screenshots.
        seed: datasets with different seeds share no screenshot.
        image_size: (width, height), at least 96 each.
        colors: names of colours, keys of ``COLORS``.
        words: how elements are described, drawn for each screenshot: "look" ("red button") or
            "label" ("Find button", "star icon", which needs a model that can read).
        platforms: drawn for each screenshot.
        num_elements: (fewest, most) elements; fewer if the screen is full.
        num_absent: (fewest, most) negative phrases.

    >>> sample = SyntheticScreenshotDataset(size=3, seed=1)[0]
    >>> sample.image.size, {i.extra["data_type"] for i in sample.annotation.instances} <= {
    ...     "text", "icon"}
    ((128, 128), True)
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        image_size: ImageSize = (128, 128),
        colors: Sequence[str] = ("red", "green", "blue", "yellow", "black"),
        words: Sequence[Words] = ("look",),
        platforms: Sequence[Platform] = ("mobile", "desktop", "web"),
        num_elements: tuple[int, int] = (1, 3),
        num_absent: tuple[int, int] = (1, 1),
    ):
        _check_known("colors", colors, COLORS)
        _check_known("words", words, get_args(Words))
        _check_known("platforms", platforms, get_args(Platform))
        if min(image_size) < 96:
            raise ValueError(f"image_size: {tuple(image_size)} is too small for labels; 96 is not")
        super().__init__(size, seed, image_size)
        self.colors, self.words, self.platforms = tuple(colors), tuple(words), tuple(platforms)
        self.num_elements, self.num_absent = num_elements, num_absent

    def phrases(self, words: Words) -> list[str]:
        """Return every phrase that an element can have, by look or by label."""
        if words == "look":
            return [f"{color} {kind}" for kind in KINDS for color in self.colors]
        return [f"{name} {kind}" for kind in KINDS for name in _names(kind)]

    def draw(self, rng: np.random.Generator) -> tuple[Image.Image, Annotation]:
        """Draw a screen and return it with its annotation."""
        words = self.words[rng.integers(len(self.words))]
        platform = self.platforms[rng.integers(len(self.platforms))]
        screen = Image.new("RGB", self.image_size, _tinted(rng, (225, 225, 230)))
        draw = ImageDraw.Draw(screen)
        bar = round(_BAR * min(self.image_size))
        _CHROME[platform](draw, self.image_size, bar)
        # Every look and every label at most once, so that words name one element.
        looks = [(kind, color) for kind in KINDS for color in self.colors]
        drawn = [looks[i] for i in rng.permutation(len(looks))]
        names = {kind: list(rng.permutation(_names(kind))) for kind in KINDS}
        wanted = int(rng.integers(self.num_elements[0], self.num_elements[1] + 1))
        instances: list[Instance] = []
        boxes: list[Box] = []
        for kind, color in drawn[:wanted]:
            box = self._place(kind, boxes, 2 * bar if platform == "web" else bar, rng)
            if box is None:
                break
            boxes.append(box)
            name = str(names[kind].pop())
            _PAINTERS[kind](draw, box, _tinted(rng, COLORS[color]), name)
            phrase = f"{color if words == 'look' else name} {kind}"
            extra = {"platform": platform, "data_type": "icon" if kind == "icon" else "text"}
            instances.append(Instance(phrase, bbox=np.array(box, dtype=float), extra=extra))
        present = {i.phrase for i in instances}
        others = [p for p in self.phrases(words) if p not in present]
        number = min(int(rng.integers(self.num_absent[0], self.num_absent[1] + 1)), len(others))
        absent = [others[i] for i in rng.permutation(len(others))[:number]]
        return screen, Annotation(self.image_size, instances, absent)

    def _place(
        self, kind: str, taken: Sequence[Box], top: int, rng: np.random.Generator
    ) -> Box | None:
        """Find a box for an element below the bars that touches no other, or return None."""
        scale = min(self.image_size) / 128
        for _ in range(60):
            wide, high = (int(rng.integers(a, b + 1) * scale) for a, b in _SIZES[kind])
            high = high or wide
            x = int(rng.integers(3, self.image_size[0] - wide - 3))
            y = int(rng.integers(top + 3, self.image_size[1] - high - 6))
            if all(
                x > x1 + 3 or x + wide < x0 - 3 or y > y1 + 3 or y + high < y0 - 3
                for x0, y0, x1, y1 in taken
            ):
                return x, y, x + wide, y + high
        return None


def _names(kind: str) -> tuple[str, ...]:
    return GLYPHS if kind == "icon" else LABELS


def _tinted(rng: np.random.Generator, color: Color) -> Color:
    red, green, blue = np.clip(np.array(color) + rng.integers(-14, 15, 3), 0, 255).tolist()
    return red, green, blue


def _contrast(color: Color) -> Color:
    return _INK if 0.3 * color[0] + 0.6 * color[1] + 0.1 * color[2] > 140 else _PAPER


# Boxes end where the next pixel begins, Pillow's shapes include their last pixel.
def _pixels(box: Box) -> Box:
    return box[0], box[1], box[2] - 1, box[3] - 1


def _button(draw: ImageDraw.ImageDraw, box: Box, color: Color, label: str) -> None:
    draw.rounded_rectangle(_pixels(box), (box[3] - box[1]) // 4, color)
    _write(draw, box, label, _contrast(color), "mm")


def _field(draw: ImageDraw.ImageDraw, box: Box, color: Color, label: str) -> None:
    draw.rectangle(_pixels(box), _PAPER, color, max(2, (box[3] - box[1]) // 7))
    _write(draw, box, label, _GREY, "lm")


def _icon(draw: ImageDraw.ImageDraw, box: Box, color: Color, glyph: str) -> None:
    draw.rounded_rectangle(_pixels(box), (box[3] - box[1]) // 4, color)
    x0, y0, x1, y1 = box
    ink = _contrast(color)
    if glyph == "circle":
        margin = (x1 - x0) // 4
        draw.ellipse((x0 + margin, y0 + margin, x1 - 1 - margin, y1 - 1 - margin), ink)
        return
    corners = [(x0 + u * (x1 - x0), y0 + v * (y1 - y0)) for u, v in _OUTLINES[glyph]]
    draw.polygon(corners, ink)


def _write(draw: ImageDraw.ImageDraw, box: Box, text: str, color: Color, anchor: str) -> None:
    x0, y0, x1, y1 = box
    x = (x0 + x1) / 2 if anchor[0] == "m" else x0 + (y1 - y0) // 3
    draw.text((x, (y0 + y1) / 2), text, color, _font((y1 - y0) * 11 // 20), anchor)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _mobile(draw: ImageDraw.ImageDraw, size: ImageSize, bar: int) -> None:
    """Draw a status bar with clock and battery, and the home indicator."""
    width, height = size
    draw.rectangle((0, 0, width, bar - 1), (60, 60, 70))
    _write(draw, (0, 0, width, bar), "9:41", _PAPER, "lm")
    draw.rectangle((width - bar - 6, bar // 3, width - 6, bar - bar // 3), _PAPER)
    draw.rectangle((width // 3, height - 4, width - width // 3, height - 3), (60, 60, 70))


def _desktop(draw: ImageDraw.ImageDraw, size: ImageSize, bar: int) -> None:
    """Draw the title bar of a window with its three buttons."""
    width, height = size
    draw.rectangle((0, 0, width - 1, height - 1), None, (110, 115, 125))
    draw.rectangle((0, 0, width - 1, bar - 1), (185, 190, 200))
    _write(draw, (0, 0, width, bar), "window", _INK, "lm")
    for number in range(3):
        x = width - (number + 1) * bar
        draw.ellipse((x, bar // 3, x + bar // 3, 2 * (bar // 3)), _GREY)


def _web(draw: ImageDraw.ImageDraw, size: ImageSize, bar: int) -> None:
    """Draw the tab and the address bar of a browser."""
    width = size[0]
    draw.rectangle((0, 0, width - 1, 2 * bar - 1), (205, 208, 214))
    draw.rectangle((4, 2, width // 3, bar - 1), (235, 236, 240))
    address = (bar, bar + 2, width - bar // 2, 2 * bar - 3)
    draw.rounded_rectangle(address, bar // 3, (235, 236, 240))
    _write(draw, address, "page.example", _GREY, "lm")


def _star() -> list[tuple[float, float]]:
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2, 0.15, 0.34)
    return [(0.5 + r * np.cos(t), 0.5 + r * np.sin(t)) for r, t in zip(reach, turns, strict=True)]


_BEAMS = [
    *((0.42, 0.2), (0.58, 0.2), (0.58, 0.42), (0.8, 0.42), (0.8, 0.58), (0.58, 0.58)),
    *((0.58, 0.8), (0.42, 0.8), (0.42, 0.58), (0.2, 0.58), (0.2, 0.42), (0.42, 0.42)),
]
_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "plus": _BEAMS,
    # A plus turned by an eighth: x' = x - y, y' = x + y, about the middle.
    "cross": [(0.5 + 0.71 * (u - v), 0.5 + 0.71 * (u + v - 1)) for u, v in _BEAMS],
    "arrow": [
        *((0.2, 0.4), (0.5, 0.4), (0.5, 0.22), (0.8, 0.5)),
        *((0.5, 0.78), (0.5, 0.6), (0.2, 0.6)),
    ],
    "diamond": [(0.5, 0.2), (0.8, 0.5), (0.5, 0.8), (0.2, 0.5)],
    "star": _star(),
}

Painter = Callable[[ImageDraw.ImageDraw, Box, Color, str], None]
_PAINTERS: dict[str, Painter] = {"button": _button, "icon": _icon, "field": _field}
_CHROME: dict[Platform, Callable[[ImageDraw.ImageDraw, ImageSize, int], None]] = {
    "mobile": _mobile,
    "desktop": _desktop,
    "web": _web,
}


def _check_known(argument: str, names: Sequence[str], known: Sequence[str] | dict) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: unknown {name!r}; known are {', '.join(known)}")
