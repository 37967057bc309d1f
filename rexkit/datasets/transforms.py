"""Transforms of samples: image and annotation change together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from rexkit.errors import DataError
from rexkit.keypoints import schema_of
from rexkit.registry import TRANSFORMS
from rexkit.structures import Annotation, Array, Instance, Sample


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirrors a sample left to right or top to bottom, each by chance.

    Left and right keypoints change places by their schema, as in a mirror. Phrases are kept: do not
    use it where they name left and right.

    Args:
        horizontal: chance of mirroring left to right, in [0, 1].
        vertical: chance of mirroring top to bottom, in [0, 1].
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0):
        self.horizontal, self.vertical = horizontal, vertical

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, mirrored by chance."""
        across, down = rng.random() < self.horizontal, rng.random() < self.vertical
        width, height = sample.annotation.image_size
        image = sample.image
        if across:
            image = ImageOps.mirror(image)
        if down:
            image = ImageOps.flip(image)

        def move(xy: Array) -> Array:
            x, y = xy[..., 0], xy[..., 1]
            return np.stack([width - x if across else x, height - y if down else y], axis=-1)

        instances = [_moved(i, move) for i in sample.annotation.instances]
        if across != down:  # both together are half a turn, which swaps no sides
            instances = [_renamed(i, sample.source) for i in instances]
        annotation = replace(sample.annotation, instances=instances)
        return replace(sample, image=image, annotation=annotation)


@TRANSFORMS.register_module()
class RandomCrop:
    """Crops a random part of a sample; instances that are mostly outside are dropped.

    A part without any instance is not used: the sample stays whole.

    Args:
        scale: smallest and largest side of the part, as a share of the image's.
        min_visible: a box is kept, and cut to the part, when at least this share of its area is
            inside; points are kept when they are inside. Polygons, masks and keypoints cannot be
            cropped and are an error.
    """

    def __init__(self, scale: tuple[float, float] = (0.5, 1.0), min_visible: float = 0.5):
        self.scale, self.min_visible = scale, min_visible

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a random part of the sample."""
        width, height = sample.annotation.image_size
        share = rng.uniform(*self.scale)
        w, h = max(1, round(width * share)), max(1, round(height * share))
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        kept = [self._cut(i, x, y, w, h, sample.source) for i in sample.annotation.instances]
        instances = [i for i in kept if i is not None]
        if not instances:
            return sample
        gone = {i.phrase for i in sample.annotation.instances} - {i.phrase for i in instances}
        # A box cropped below min_visible may still show a corner: its phrase is neither present
        # nor known to be absent, so nothing is asked about it.
        absent = [p for p in sample.annotation.absent if p not in gone]
        return replace(
            sample,
            image=sample.image.crop((x, y, x + w, y + h)),
            annotation=Annotation((w, h), instances, absent),
        )

    def _cut(
        self, instance: Instance, x: int, y: int, w: int, h: int, source: str
    ) -> Instance | None:
        uncut = ("polygon", "keypoints", "mask")
        if found := [name for name in uncut if getattr(instance, name) is not None]:
            raise ValueError(f"{source}: RandomCrop cannot crop a {found[0]}; do not use it here")
        box, point = instance.bbox, instance.point
        if box is not None:
            moved = box - [x, y, x, y]
            inside = np.clip(moved, 0, [w, h, w, h])
            area, visible = np.prod(moved[2:] - moved[:2]), np.prod(inside[2:] - inside[:2])
            if visible < self.min_visible * area or visible == 0:
                return None
            box = inside
        if point is not None:
            point = point - [x, y]
            if not ((point >= 0).all() and (point <= [w, h]).all()):
                if box is None:
                    return None
                point = None
        return replace(instance, bbox=box, point=point)


@TRANSFORMS.register_module()
class ColorJitter:
    """Changes brightness, contrast and saturation by chance.

    Args:
        strength: each is multiplied by a factor from 1 - strength to 1 + strength.
    """

    def __init__(self, strength: float = 0.2):
        self.strength = strength

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample with changed colours."""
        image: Image.Image = sample.image
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + rng.uniform(-self.strength, self.strength))
        return replace(sample, image=image)


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
        return replace(instance, keypoints=schema.mirrored(instance.keypoints))
    except ValueError as error:
        raise DataError(str(error), source) from error


def _moved(instance: Instance, move: Callable[[Array], Array]) -> Instance:
    """Return the instance with every point of every geometry moved."""
    if instance.mask is not None:
        raise ValueError("RandomFlip cannot mirror a mask; do not use it here")
    box = instance.bbox
    if box is not None:
        corners = move(box.reshape(2, 2))
        box = np.concatenate([corners.min(0), corners.max(0)])
    keypoints = instance.keypoints
    if keypoints is not None:
        keypoints = {name: None if xy is None else move(xy) for name, xy in keypoints.items()}
    return replace(
        instance,
        bbox=box,
        point=None if instance.point is None else move(instance.point),
        polygon=None if instance.polygon is None else move(instance.polygon),
        keypoints=keypoints,
    )
