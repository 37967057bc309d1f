"""Four samples in one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from rexkit.datasets.transforms.combined_phrases import join_annotations
from rexkit.datasets.transforms.draws import check_share, check_span, happens
from rexkit.datasets.transforms.sided_phrases import check_sided, refuse_places
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_annotation
from rexkit.registry import TRANSFORMS
from rexkit.structures import Annotation, ImageSize, Sample


@TRANSFORMS.register_module()
class Mosaic:
    """Puts a sample and three others of its source into the quarters of one image.

    Each is resized, its shape kept, until it fills its quarter, and a random part of it is shown.
    The other samples go through the transforms before this one, so that each can be changed on its
    own. Phrases must mean the same in every image: those that name a place, such as "left cup", are
    an error, and other expressions that hold in one image only ("the tallest man") should not be
    combined.

    Args:
        probability: of combining, in [0, 1].
        size: (width, height) of the image; None takes that of the sample.
        center: smallest and largest share of each side at which the four images meet.
        min_visible: as in `RandomCrop`.
        exhaustive: whether each image has all instances of every phrase that any image of the
            dataset has, as in COCO. False, as for LVIS, asks only for phrases that each of the four
            has or is known not to have.
        phrases: "keep" where words such as "top" in "top hat" are no places; none is then refused.
    """

    def __init__(
        self,
        probability: float = 0.5,
        size: ImageSize | None = None,
        center: tuple[float, float] = (0.3, 0.7),
        min_visible: float = 0.5,
        exhaustive: bool = True,
        phrases: str = "swap",
    ):
        self.probability = check_share("probability", probability)
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.center = check_span("center", center, 0.05, 0.95)
        self.min_visible = check_share("min_visible", min_visible)
        self.exhaustive = exhaustive
        self.phrases = check_sided(phrases)

    def combine(
        self, sample: Sample, rng: np.random.Generator, another: Callable[[], Sample]
    ) -> Sample:
        """Return the sample with three others, by chance."""
        self._check(sample)
        if not happens(self.probability, rng):
            return sample
        samples = [sample, *(another() for _ in range(3))]
        width, height = size = self.size or sample.annotation.image_size
        x, y = (min(max(1, round(side * rng.uniform(*self.center))), side - 1) for side in size)
        quarters = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
        image, annotations = Image.new("RGB", size), []
        for one, quarter in zip(samples, [quarters[i] for i in rng.permutation(4)], strict=True):
            self._check(one)
            annotations.append(self._place(one, quarter, image, rng))
        return Sample(
            image,
            join_annotations(annotations, self.exhaustive),
            " + ".join(one.source for one in samples),
        )

    def _check(self, sample: Sample) -> None:
        if self.phrases == "swap":
            refuse_places(sample, self, "combines several images")

    def _place(
        self,
        sample: Sample,
        quarter: tuple[int, int, int, int],
        image: Image.Image,
        rng: np.random.Generator,
    ) -> Annotation:
        """Draw a part of a sample into a quarter, and return its annotation in the whole image."""
        x0, y0, x1, y1 = quarter
        part = (x1 - x0, y1 - y0)
        old = sample.annotation.image_size
        factor = max(new / side for new, side in zip(part, old, strict=True))
        spare = [max(0.0, side * factor - new) for new, side in zip(part, old, strict=True)]
        left, above = (rng.uniform(0, room) for room in spare)
        warp = Warp(np.array([[factor, 0, -left], [0, factor, -above], [0, 0, 1]]), part)
        image.paste(warp.image(sample.image), (x0, y0))
        return replace(
            warp_annotation(sample.annotation, warp.placed(x0, y0, image.size), self.min_visible),
            extra={},
        )
