"""Samples in a mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rexkit.datasets.transforms.draws import check_share, happens
from rexkit.datasets.transforms.sided_phrases import (
    check_sided,
    mirror_phrases,
    refuse_places,
)
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_sample
from rexkit.errors import DataError
from rexkit.instances import HIDDEN_KEYPOINTS
from rexkit.keypoints import schema_of
from rexkit.registry import TRANSFORMS
from rexkit.structures import Instance, Sample


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirrors a sample left to right or top to bottom, each by chance.

    Boxes, points, polygons, masks and keypoints are mirrored. Left and right keypoints change
    places by their schema, as in a mirror, and so do the words left and right in phrases, the
    absent ones too (English, and 左 and 右). Text cannot be read in a mirror, so that a sample with
    transcriptions is an error. A flip top to bottom leaves it open whether "left hand" and "upper
    shelf" are still true: phrases that name a place are then an error too.

    Args:
        horizontal: chance of mirroring left to right, in [0, 1].
        vertical: chance of mirroring top to bottom, in [0, 1].
        phrases: "swap", as above, or "keep", where words such as "right" in "right angle" are no
            places: phrases stay as they are and none is refused.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0, phrases: str = "swap"):
        self.horizontal = check_share("horizontal", horizontal)
        self.vertical = check_share("vertical", vertical)
        self.phrases = check_sided(phrases)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, mirrored by chance."""
        self._check(sample)
        across, down = happens(self.horizontal, rng), happens(self.vertical, rng)
        if not across and not down:
            return sample
        warp = Warp.flip(sample.annotation.image_size, across, down)
        flipped = warp_sample(sample, warp)
        annotation = flipped.annotation
        if across != down:  # both together are half a turn, which swaps no sides
            renamed = [_renamed(i, sample.source) for i in annotation.instances]
            annotation = replace(annotation, instances=renamed)
        if across and not down and self.phrases == "swap":
            annotation = mirror_phrases(annotation)
        return replace(flipped, annotation=annotation)

    def _check(self, sample: Sample) -> None:
        """Refuse what may become false, whatever is drawn: an error must not depend on chance."""
        chances = (self.horizontal, self.vertical)
        mirrors = max(chances) > 0 and min(chances) < 1
        text = next((i.text for i in sample.annotation.instances if i.text is not None), None)
        if mirrors and text is not None:
            raise DataError(
                f"RandomFlip mirrors text ({text!r}), which can then not be read; leave it out of "
                "the transforms of OCR sources",
                sample.source,
            )
        if self.vertical and self.phrases == "swap":
            refuse_places(sample, self, "mirrors the image top to bottom")


def _renamed(instance: Instance, source: str) -> Instance:
    """Return the instance with its keypoints under the names that they have in a mirror."""
    if not instance.keypoints:
        return instance
    schema = schema_of(instance.keypoints)
    if schema is None:
        raise DataError(
            f"RandomFlip knows no schema of the keypoints {', '.join(instance.keypoints)}, so not "
            "which are left and right; give the task or the data set theirs, or do not use it",
            source,
        )
    try:
        keypoints = schema.mirrored(instance.keypoints)
    except ValueError as error:
        raise DataError(str(error), source) from error
    extra = dict(instance.extra)
    if hidden := extra.get(HIDDEN_KEYPOINTS):
        extra[HIDDEN_KEYPOINTS] = [schema.mirrored_name(name) for name in hidden]
    return replace(instance, keypoints=keypoints, extra=extra)
