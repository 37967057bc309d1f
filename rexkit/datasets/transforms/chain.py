"""The transforms of a source, one after the other, and the other samples that some of them take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rexkit.datasets.skipped_rows import errors_of_row
from rexkit.structures import Sample

DrawSample = Callable[[np.random.Generator], Sample]
"""Returns a sample of the source, as the dataset has it, drawn by a generator."""


def apply_transforms(
    transforms: Sequence[Any], sample: Sample, rng: np.random.Generator, draw: DrawSample
) -> Sample:
    """Return a sample after all transforms.

    A transform with the method ``combine`` (`rexkit.interfaces.CombiningTransform`) gets other
    samples of the source, which have gone through the transforms before it. All of it depends on
    the state of ``rng`` alone: so it is the same in whatever process, and after a resume.

    Args:
        transforms: of TRANSFORMS, in their order.
        sample: is not changed.
        rng: the only source of randomness.
        draw: reads another sample.

    Raises:
        DataError: whatever a transform raises, with the place of the row.
    """
    if sample.image is None:  # a question without an image: there is nothing to transform
        return sample
    place = sample.source
    for number, transform in enumerate(transforms):

        def another(before: Sequence[Any] = transforms[:number]) -> Sample:
            return apply_transforms(before, draw(rng), rng, draw)

        with errors_of_row(place, "transform", transform):
            combine = getattr(transform, "combine", None)
            sample = transform(sample, rng) if combine is None else combine(sample, rng, another)
    return sample
