"""Words drawn on images, as training data for reading."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from rexkit.datasets.text_style import TextStyle, free_place
from rexkit.datasets.transforms.combined_phrases import without_absent
from rexkit.datasets.transforms.draws import check_share, check_span, happens
from rexkit.errors import DataError
from rexkit.geometry import order_polygon, polygon_bounds
from rexkit.registry import TRANSFORMS
from rexkit.structures import Array, Instance, Sample


@TRANSFORMS.register_module()
class TextOverlay:
    """Draws words on an image, and adds them to what is to be read.

    Letters are dark on a light part of the image, light on a dark one. They touch no other text of
    the annotation. All text that is in the images must be annotated, or there must be none: texts
    that are drawn beside others would teach the model to leave those out.

    Args:
        probability: of drawing any, in [0, 1].
        num_texts: fewest and most words; fewer where there is no room.
        words: the words to draw from; None draws random characters.
        characters: those to draw from.
        length: fewest and most of them in a word.
        font_size: smallest and largest size of the letters, as a share of the image's shorter
            side.
        rotation: by how many degrees a word is turned at most, either way.
        curvature: over how many degrees of an arc a word is bent at most, either way.
        fonts: font files, one of them drawn for each word; left out, the font that comes with
            Pillow, which has Latin letters.
        levels: phrases of each word; ["word", "text line"] for data sets that have both.
    """

    def __init__(
        self,
        probability: float = 0.5,
        num_texts: tuple[int, int] = (1, 4),
        words: Sequence[str] | None = None,
        characters: str = string.ascii_letters + string.digits,
        length: tuple[int, int] = (2, 8),
        font_size: tuple[float, float] = (0.04, 0.15),
        rotation: float = 15.0,
        curvature: float = 0.0,
        fonts: Sequence[str] = (),
        levels: Sequence[str] = ("word",),
    ):
        if isinstance(levels, str) or not levels:
            raise ValueError(f"levels: expected a list of phrases, got {levels!r}")
        self.probability = check_share("probability", probability)
        fewest, most = check_span("num_texts", num_texts, 1, 1000)
        self.num_texts, self.levels = (int(fewest), int(most)), tuple(levels)
        self.style = TextStyle(
            None if words is None else tuple(words),
            characters,
            length,
            (1, 1),
            check_span("font_size", font_size, 0.001, 1),
            rotation,
            curvature,
            tuple(fonts),
        )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample with words on its image, by chance."""
        annotation = sample.annotation
        others = {i.phrase for i in annotation.instances if i.text is not None} - {*self.levels}
        if others:
            raise DataError(
                f"TextOverlay draws {list(self.levels)}, and the text here is {min(others)!r}: "
                "name all levels of the text in levels, or leave the transform out",
                sample.source,
            )
        if not happens(self.probability, rng):
            return sample
        pixels = np.asarray(sample.image, dtype=np.float64).copy()
        taken = [box for i in annotation.instances if (box := _place_of_text(i)) is not None]
        drawn: list[Instance] = []
        for _ in range(int(rng.integers(self.num_texts[0], self.num_texts[1] + 1))):
            drawn.extend(self._draw(pixels, taken, rng))
        if not drawn:
            return sample
        image = Image.fromarray(np.round(pixels).astype(np.uint8))
        whole = replace(annotation, instances=[*annotation.instances, *drawn])
        return replace(
            sample, image=image, annotation=without_absent(whole, self.levels), image_path=None
        )

    def _draw(self, pixels: Array, taken: list[Array], rng: np.random.Generator) -> list[Instance]:
        """Draw a word where there is room, and return its instances, one for each level."""
        height, width = pixels.shape[:2]
        words = self.style.texts(rng)
        fitting = self.style.fit(words, (width, height), rng)
        if fitting is None:
            return []
        lettering, placement = fitting
        center = free_place(placement.outline(lettering.extent), (width, height), taken, rng)
        if center is None:
            return []
        placement = replace(placement, center=center)
        outline = np.clip(placement.outline(lettering.extent), 0.0, (width, height))
        polygon = order_polygon(outline)
        x0, y0, x1, y1 = box = polygon_bounds(polygon)
        behind = pixels[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))].mean()
        color = rng.integers(0, 60, 3) if behind > 127 else rng.integers(196, 256, 3)
        placement.paint(pixels, lettering, color.astype(np.float64))
        return [Instance(level, bbox=box, polygon=polygon, text=words[0]) for level in self.levels]


def _place_of_text(instance: Instance) -> Array | None:
    """Return the box around an instance that has text, or whose text nobody could read."""
    if instance.text is None and not instance.ignore:
        return None
    return instance.bbox if instance.polygon is None else polygon_bounds(instance.polygon)
