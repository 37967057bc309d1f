"""How texts are drawn at random: which words, how large, turned and bent, and where."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

import numpy as np

from rexkit.datasets.lettering import Lettering, Placement
from rexkit.geometry import polygon_bounds
from rexkit.structures import Array, ImageSize

SMALLEST = 6
"""Pixels of the smallest font that is drawn."""

_GAP = 2.0
_ATTEMPTS = 40


@dataclass(frozen=True)
class TextStyle:
    """What is drawn from to write a line of text.

    Attributes:
        words: the words; None draws random characters.
        characters: those to draw from.
        length: fewest and most of them in a word.
        words_per_line: fewest and most words in a line.
        font_size: smallest and largest size of the letters, as a share of the image's shorter
            side.
        rotation: by how many degrees a line is turned at most, either way.
        curvature: over how many degrees of an arc a line is bent at most, either way; short lines
            are bent less, so that letters stay apart.
        fonts: font files, one of them drawn for each line; left out, the font that comes with
            Pillow, which has Latin letters.
    """

    words: tuple[str, ...] | None = None
    characters: str = string.ascii_letters + string.digits
    length: tuple[int, int] = (2, 4)
    words_per_line: tuple[int, int] = (1, 1)
    font_size: tuple[float, float] = (0.2, 0.3)
    rotation: float = 0.0
    curvature: float = 0.0
    fonts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.words is not None and not self.words:
            raise ValueError("words: an empty list; None draws random characters")

    def texts(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Draw the words of a line."""
        number = int(rng.integers(self.words_per_line[0], self.words_per_line[1] + 1))
        if self.words is not None:
            return tuple(self.words[i] for i in rng.integers(len(self.words), size=number))
        lengths = rng.integers(self.length[0], self.length[1] + 1, size=number)
        return tuple("".join(rng.choice(list(self.characters), size=n)) for n in lengths)

    def fit(
        self, texts: tuple[str, ...], image_size: ImageSize, rng: np.random.Generator
    ) -> tuple[Lettering, Placement] | None:
        """Return a line, bent and turned, that fits into an image, or None where none does."""
        font = self.fonts[rng.integers(len(self.fonts))] if self.fonts else None
        size = round(rng.uniform(*self.font_size) * min(image_size))
        turn, bend = np.radians(rng.uniform(-1, 1, 2) * (self.rotation, self.curvature)).tolist()
        while True:
            lettering = Lettering.of(texts, max(size, SMALLEST), font)
            width, height = lettering.size.tolist()
            # The inside of the arc is at least half as long as its middle.
            angle = min(max(bend, -width / height), width / height)
            placement = Placement(width / angle if angle else math.inf, turn, np.zeros(2))
            extent = np.ptp(placement.outline(lettering.extent), axis=0)
            if (extent + 2 * _GAP <= image_size).all():
                return lettering, placement
            if size <= SMALLEST:
                return None
            size = int(size * 0.85)


def free_place(
    outline: Array, image_size: ImageSize, taken: list[Array], rng: np.random.Generator
) -> Array | None:
    """Find a place for an outline around 0 where it touches nothing, if there is one.

    Args:
        outline: (K, 2).
        image_size: (width, height) of the image.
        taken: boxes of what is there; the one of the outline is added.
        rng: draws the place.
    """
    box = polygon_bounds(outline)
    low, high = _GAP - box[:2], np.array(image_size) - _GAP - box[2:]
    for _ in range(_ATTEMPTS):
        center = rng.uniform(low, high)
        moved = box + np.tile(center, 2)
        if not any(_touch(moved, other) for other in taken):
            taken.append(moved)
            return np.asarray(center)
    return None


def _touch(a: Array, b: Array) -> bool:
    return bool((a[:2] < b[2:] + _GAP).all() and (b[:2] < a[2:] + _GAP).all())
