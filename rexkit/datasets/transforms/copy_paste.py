"""Instances of another sample, cut out and put into an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from rexkit.datasets.transforms.combined_phrases import known_phrases, without_absent
from rexkit.datasets.transforms.draws import check_share, check_span, happens
from rexkit.datasets.transforms.occlusion import Cover, cover_annotation
from rexkit.datasets.transforms.sided_phrases import check_sided, refuse_places
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_annotation
from rexkit.geometry import polygon_bounds
from rexkit.phrases import normalise_phrase
from rexkit.registry import TRANSFORMS
from rexkit.run_lengths import mask_box
from rexkit.structures import Annotation, Array, Instance, Sample


@TRANSFORMS.register_module()
class CopyPaste:
    """Puts instances of another sample of the source into an image, at another place and size.

    They are cut out along their mask or polygon, as in "Simple Copy-Paste" (Ghiasi et al., CVPR
    2021). What they hide is no longer annotated: masks lose those pixels, boxes are cut to what is
    seen, and an instance of which little is left is ignored. The other sample goes through the
    transforms before this one. Phrases must mean the same in every image, as in `Mosaic`.

    Args:
        probability: of pasting, in [0, 1].
        num_pasted: fewest and most instances; fewer where the other sample has not as many.
        scale: smallest and largest factor of their size; they never become larger than the image.
        min_visible: as in `RandomCrop`, for what is hidden.
        rectangles: also paste instances that have only a box, with what is around them in it.
        exhaustive: as in `Mosaic`: False pastes only instances whose phrase the image is known to
            have or not to have.
        phrases: as in `Mosaic`.
    """

    def __init__(
        self,
        probability: float = 0.5,
        num_pasted: tuple[int, int] = (1, 3),
        scale: tuple[float, float] = (0.5, 1.5),
        min_visible: float = 0.5,
        rectangles: bool = False,
        exhaustive: bool = True,
        phrases: str = "swap",
    ):
        self.probability = check_share("probability", probability)
        fewest, most = check_span("num_pasted", num_pasted, 1, 1000)
        self.num_pasted = (int(fewest), int(most))
        self.scale = check_span("scale", scale, 0.01, 100)
        self.min_visible = check_share("min_visible", min_visible)
        self.rectangles, self.exhaustive = rectangles, exhaustive
        self.phrases = check_sided(phrases)

    def combine(
        self, sample: Sample, rng: np.random.Generator, another: Callable[[], Sample]
    ) -> Sample:
        """Return the sample with instances of another one, by chance."""
        self._check(sample)
        if not happens(self.probability, rng):
            return sample
        other = another()
        self._check(other)
        found = self._pasteable(other.annotation, sample.annotation)
        wanted = int(rng.integers(self.num_pasted[0], self.num_pasted[1] + 1))
        chosen = [found[i] for i in rng.permutation(len(found))[:wanted]]
        if not chosen:
            return sample
        image, annotation = sample.image.copy(), replace(sample.annotation, extra={})
        for instance in chosen:
            annotation = self._paste(image, annotation, other, instance, rng)
        return Sample(image, annotation, f"{sample.source} + {other.source}")

    def _check(self, sample: Sample) -> None:
        if self.phrases == "swap":
            refuse_places(sample, self, "combines several images")

    def _pasteable(self, other: Annotation, annotation: Annotation) -> list[Instance]:
        """Return the instances of another image that can be put into one."""
        known = known_phrases(annotation)
        return [
            i
            for i in other.instances
            if not i.ignore
            and (
                i.mask is not None
                or i.polygon is not None
                or (self.rectangles and i.bbox is not None)
            )
            and (self.exhaustive or normalise_phrase(i.phrase) in known)
        ]

    def _paste(
        self,
        image: Image.Image,
        annotation: Annotation,
        other: Sample,
        instance: Instance,
        rng: np.random.Generator,
    ) -> Annotation:
        """Put an instance into an image, and return the annotation with it."""
        size = annotation.image_size
        x0, y0, x1, y1 = outline = _bounds(instance)
        factor = min(rng.uniform(*self.scale), *(size / np.maximum(outline[2:] - outline[:2], 1)))
        corner = rng.uniform(0, np.maximum(size - factor * np.array([x1 - x0, y1 - y0]), 0))
        shift = corner - factor * outline[:2]
        warp = Warp(np.array([[factor, 0, shift[0]], [0, factor, shift[1]], [0, 0, 1]]), size)
        alone = Annotation(other.annotation.image_size, [replace(instance, name=None)])
        moved = warp_annotation(alone, warp).instances
        cover = Cover.of(moved[0], size) if moved else None
        if cover is None:  # too small to be seen
            return annotation
        x, y = cover.corner
        height, width = cover.pixels.shape
        patch = Warp(
            np.array([[factor, 0, shift[0] - x], [0, factor, shift[1] - y], [0, 0, 1]]),
            (width, height),
        )
        image.paste(patch.image(other.image), (x, y), Image.fromarray(cover.pixels))
        behind = cover_annotation(annotation, cover, self.min_visible)
        return without_absent(
            replace(behind, instances=[*behind.instances, *moved]), [instance.phrase]
        )


def _bounds(instance: Instance) -> Array:
    """Return the box around what is cut out: (4,) xyxy."""
    if instance.mask is not None:
        return mask_box(instance.mask)
    if instance.polygon is not None:
        return polygon_bounds(instance.polygon)
    assert instance.bbox is not None
    return instance.bbox
