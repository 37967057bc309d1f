"""Synthetic images of text, drawn from a seed."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from rexkit.datasets.synthetic_dataset import SyntheticDataset
from rexkit.datasets.text_style import SMALLEST, TextStyle, free_place
from rexkit.geometry import order_polygon, polygon_bounds
from rexkit.registry import DATASETS
from rexkit.structures import Annotation, Array, ImageSize, Instance

WORDS = ("cat", "dog", "red", "blue", "star", "moon", "ring", "hand", "eye", "nose", "tail", "menu")
"""Short words that the embedded model's tokenizer has as one token each."""


@DATASETS.register_module()
class RenderedTextDataset(SyntheticDataset):
    """Images of a few words or lines of text, with polygons, boxes and transcriptions.

    Sample ``i`` depends on ``(seed, i)`` alone, whatever process draws it (and on the version of
    FreeType, which draws the letters). Polygons fit the letters that were drawn: four corners, or
    ten where the text is bent, clockwise from the top left (`rexkit.geometry.order_polygon`); a
    box is the box around the polygon. Texts do not touch. One that would not fit into the image
    is drawn smaller.

    Args:
        size: number of images.
        seed: data sets with different seeds share no image.
        image_size: (width, height) of an image.
        words: the words to draw from; None draws random characters.
        characters: those to draw from.
        length: fewest and most of them in a word.
        num_texts: fewest and most texts in an image; fewer where there is no room for more. With
            none, "word" is known to be absent.
        words_per_line: fewest and most words in a text. Where it may be more than one, the
            annotation has every word as "word" and every text as "text line".
        font_size: smallest and largest size of the letters, as a share of the image's shorter
            side.
        rotation: by how many degrees a text is turned at most, either way.
        curvature: over how many degrees of an arc a text is bent at most, either way; short texts
            are bent less, so that letters stay apart.
        fonts: font files, one of them drawn for each text; left out, the font that comes with
            Pillow, which has Latin letters.

    >>> sample = RenderedTextDataset(size=3, seed=1)[0]
    >>> sample.image.size, sample.annotation.instances[0].polygon.shape
    ((128, 128), (4, 2))
    """

    def __init__(
        self,
        size: int = 1000,
        seed: int = 0,
        image_size: ImageSize = (128, 128),
        words: Sequence[str] | None = WORDS,
        characters: str = string.ascii_letters + string.digits,
        length: tuple[int, int] = (2, 4),
        num_texts: tuple[int, int] = (1, 2),
        words_per_line: tuple[int, int] = (1, 1),
        font_size: tuple[float, float] = (0.2, 0.3),
        rotation: float = 0.0,
        curvature: float = 0.0,
        fonts: Sequence[str] = (),
    ):
        super().__init__(size, seed, image_size)
        self.num_texts = num_texts
        self.style = TextStyle(
            None if words is None else tuple(words),
            characters,
            length,
            words_per_line,
            font_size,
            rotation,
            curvature,
            tuple(fonts),
        )

    def draw(self, rng: np.random.Generator) -> tuple[Image.Image, Annotation]:
        """Draw an image, and return it with its ground truth."""
        width, height = self.image_size
        paper, dark = rng.integers(175, 246) + rng.integers(-10, 11, 3), bool(rng.random() < 0.5)
        pixels = np.tile(_tone(paper, dark), (height, width, 1))
        lines = self.style.words_per_line[1] > 1
        instances: list[Instance] = []
        taken: list[Array] = []
        wanted = int(rng.integers(self.num_texts[0], self.num_texts[1] + 1))
        for _ in range(wanted):
            texts = self.style.texts(rng)
            fitting = self.style.fit(texts, self.image_size, rng)
            if fitting is None:
                raise ValueError(
                    f"words: {' '.join(texts)!r} does not fit into an image of "
                    f"{width}x{height}, not even {SMALLEST} pixels high"
                )
            lettering, placement = fitting
            center = free_place(placement.outline(lettering.extent), self.image_size, taken, rng)
            if center is None:
                continue
            placement = replace(placement, center=center)
            placement.paint(pixels, lettering, _tone(rng.integers(0, 90, 3), dark))
            found = [("word", *word) for word in zip(texts, lettering.extents, strict=True)]
            if lines:
                found.append(("text line", " ".join(texts), lettering.extent))
            for phrase, text, extent in found:
                outline = placement.outline(extent)
                polygon = order_polygon(np.clip(outline, 0.0, self.image_size))
                box = polygon_bounds(polygon)
                instances.append(Instance(phrase, bbox=box, polygon=polygon, text=text))
        levels = ["word", "text line"] if lines else ["word"]
        image = Image.fromarray(np.round(pixels).astype(np.uint8))
        return image, Annotation(self.image_size, instances, [] if instances else levels)


def _tone(color: ArrayLike, dark: bool) -> Array:
    return np.abs(255.0 * dark - np.asarray(color, dtype=np.float64))
