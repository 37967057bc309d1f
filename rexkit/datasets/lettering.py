"""Lines of text drawn straight, turned or bent, with their outlines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont

from rexkit.structures import Array

OVERSAMPLING = 3
"""A line is drawn straight this many times as large, then placed in the image."""

BENT_SEGMENTS = 4
"""Straight pieces of each long edge of a bent outline: ten corners, as in Total-Text."""


@dataclass(frozen=True)
class Lettering:
    """A line of words, drawn straight, in its own pixels around its middle.

    Attributes:
        ink: (height, width) uint8, `OVERSAMPLING` times as large as it will be.
        extents: (N, 4) xyxy, of what is drawn of each word, in pixels of the image, around the
            middle of the line.
    """

    ink: NDArray[np.uint8]
    extents: Array

    @classmethod
    @lru_cache(maxsize=512)
    def of(cls, words: tuple[str, ...], size: int, font_file: str | None) -> Lettering:
        """Draw words beside each other.

        Args:
            words: from left to right.
            size: of the font, in pixels of the image.
            font_file: a font, or None for the one that comes with Pillow.

        Raises:
            ValueError: the font draws nothing for a word.
        """
        font = _load_font(size * OVERSAMPLING, font_file)
        ascent, descent = font.getmetrics()
        margin = font.size  # letters may reach beyond their box
        gap = font.getlength(" ")
        starts = np.cumsum([0.0, *(font.getlength(word) + gap for word in words)])
        canvas = (int(starts[-1] + 2 * margin), int(ascent + descent + 2 * margin))
        ink = Image.new("L", canvas)
        extents = []
        for word, start in zip(words, starts.tolist(), strict=False):
            one = Image.new("L", canvas)
            ImageDraw.Draw(one).text((margin + start, margin), word, 255, font)
            if (extent := one.getbbox()) is None:
                raise ValueError(f"words: the font draws nothing for {word!r}")
            extents.append(extent)
            ink = ImageChops.lighter(ink, one)
        boxes = np.array(extents, dtype=np.float64)
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        x0, y0, x1, y1 = (int(edge) for edge in (*low, *high))
        middle = np.tile((low + high) / 2, 2)
        return cls(np.asarray(ink)[y0:y1, x0:x1].copy(), (boxes - middle) / OVERSAMPLING)

    @property
    def size(self) -> Array:
        """(2,) width and height in pixels of the image."""
        return np.array(self.ink.shape[::-1]) / OVERSAMPLING

    @property
    def extent(self) -> Array:
        """(4,) xyxy of the whole line, around its middle."""
        return np.append(-self.size / 2, self.size / 2)


@dataclass(frozen=True)
class Placement:
    """Where a line is in an image: bent to an arc around its middle, turned, and moved.

    Attributes:
        radius: of the arc through the middle of the letters, in pixels; positive where the ends
            hang down, negative where they rise, infinite where the line is straight.
        turn: in radians, clockwise on the screen.
        center: (2,) of the middle of the line.
    """

    radius: float
    turn: float
    center: Array

    def outline(self, extent: Array) -> Array:
        """Return the polygon in the image of a box of the straight line, clockwise.

        Args:
            extent: (4,) xyxy around the middle of the line, in pixels.

        Returns:
            (K, 2) in pixels of the image.
        """
        x0, y0, x1, y1 = extent
        x = np.linspace(x0, x1, 2 if np.isinf(self.radius) else BENT_SEGMENTS + 1)
        above, below = np.full_like(x, y0), np.full_like(x, y1)
        edges = [np.stack([x, above], axis=1), np.stack([x, below], axis=1)[::-1]]
        return self._to_image(np.concatenate(edges))

    def paint(self, image: Array, lettering: Lettering, color: Array) -> None:
        """Draw a line.

        Args:
            image: (height, width, 3) from 0 to 255; it is changed.
            lettering: the line.
            color: (3,) from 0 to 255.
        """
        around = self.outline(lettering.extent)
        # Between the corners an arc reaches further out than its chords, by less than its height.
        reach = 2 if np.isinf(self.radius) else 2 + lettering.size[1]
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.floor(around.min(axis=0) - reach), 0, limit).astype(int)
        high = np.clip(np.ceil(around.max(axis=0) + reach), 0, limit).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        on_line = self._to_line(np.stack([x, y], axis=-1) + 0.5)
        share = _sample(lettering.ink, (on_line + lettering.size / 2) * OVERSAMPLING)[..., None]
        part = image[low[1] : high[1], low[0] : high[0]]
        part += share * (color - part)

    def _to_image(self, xy: Array) -> Array:
        """Points of the straight line, around its middle: (..., 2)."""
        if not np.isinf(self.radius):
            angle, far = xy[..., 0] / self.radius, self.radius - xy[..., 1]
            xy = np.stack([far * np.sin(angle), self.radius - far * np.cos(angle)], axis=-1)
        return xy @ _rotation(self.turn).T + self.center

    def _to_line(self, xy: Array) -> Array:
        """Invert `_to_image`."""
        xy = (xy - self.center) @ _rotation(self.turn)
        if np.isinf(self.radius):
            return xy
        side = np.sign(self.radius)
        x, y = side * xy[..., 0], side * (self.radius - xy[..., 1])
        return np.stack(
            [self.radius * np.arctan2(x, y), self.radius - side * np.hypot(x, y)], axis=-1
        )


def _rotation(angle: float) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _sample(pixels: NDArray[np.uint8], xy: Array) -> Array:
    """Interpolate an image between its pixels, from 0 to 1, 0 outside: (...) for (..., 2)."""
    padded = np.pad(pixels, 1)
    # The middle of the pixel in column 0 is at x = 0.5, and at 1 with the padding.
    place = np.clip(xy + 0.5, 0.0, np.array(padded.shape[::-1]) - 1.001)
    column, row = np.moveaxis(place.astype(np.int64), -1, 0)
    right, down = np.moveaxis(place - np.floor(place), -1, 0)
    upper = padded[row, column] * (1 - right) + padded[row, column + 1] * right
    lower = padded[row + 1, column] * (1 - right) + padded[row + 1, column + 1] * right
    return np.asarray(upper * (1 - down) + lower * down) / 255


@lru_cache(maxsize=256)
def _load_font(size: int, file: str | None) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType, which drawing text needs")
    return font
