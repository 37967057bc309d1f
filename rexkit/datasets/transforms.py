"""Transforms of samples: image and annotation change together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from rexkit.errors import DataError
from rexkit.geometry import polygon_area
from rexkit.keypoints import schema_of
from rexkit.registry import TRANSFORMS
from rexkit.run_lengths import Mask, decode_mask, encode_mask
from rexkit.structures import Annotation, Array, Instance, Sample


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirrors a sample left to right or top to bottom, each by chance.

    Boxes, points, polygons, masks and keypoints are mirrored. Left and right keypoints change
    places by their schema, as in a mirror. Phrases are kept: do not use it where they name left and
    right.

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

        turn = np.s_[:: -1 if down else 1, :: -1 if across else 1]
        instances = [_moved(i, move, turn) for i in sample.annotation.instances]
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
        min_visible: an instance is kept when at least this share of its area is inside, that of
            its box, or else of its mask or polygon. All its geometries are cut to the part;
            keypoints outside are not visible, and an outline or point outside is left out.
    """

    def __init__(self, scale: tuple[float, float] = (0.5, 1.0), min_visible: float = 0.5):
        self.scale, self.min_visible = scale, min_visible

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a random part of the sample."""
        width, height = sample.annotation.image_size
        share = rng.uniform(*self.scale)
        w, h = max(1, round(width * share)), max(1, round(height * share))
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        part = _Part(x, y, w, h)
        kept = [self._cut(i, part) for i in sample.annotation.instances]
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

    def _cut(self, instance: Instance, part: _Part) -> Instance | None:
        """Return what is left of an instance in a part of the image, or None."""
        box, whole_box = part.box(instance.bbox)
        mask, whole_mask = part.mask(instance.mask)
        polygon, whole_polygon = part.polygon(instance.polygon)
        point = part.point(instance.point)
        keypoints = instance.keypoints
        if keypoints is not None:
            keypoints = {name: part.point(xy) for name, xy in keypoints.items()}
        measures: list[tuple[Any, Any, Callable[[Any], float]]] = [
            (box, whole_box, _box_area),
            (mask, whole_mask, np.sum),
            (polygon, whole_polygon, polygon_area),
        ]
        for cut, whole, area in measures:
            if whole is not None:
                if cut is None or area(cut) < self.min_visible * area(whole):
                    return None
                break
        else:
            if point is None and not any(xy is not None for xy in (keypoints or {}).values()):
                return None
        return replace(
            instance,
            bbox=box,
            point=point,
            polygon=polygon,
            keypoints=keypoints,
            mask=None if mask is None else encode_mask(mask),
        )


@dataclass(frozen=True)
class _Part:
    """A part of an image, and geometries cut to it: each None where nothing is left."""

    x: int
    y: int
    width: int
    height: int

    def box(self, box: Array | None) -> tuple[Array | None, Array | None]:
        """Return a box in the part, and the whole one."""
        if box is None:
            return None, None
        size = [self.width, self.height]
        inside = np.clip(box - [self.x, self.y, self.x, self.y], 0, [*size, *size])
        return inside if _box_area(inside) else None, box

    def mask(self, mask: Mapping[str, Any] | None) -> tuple[Mask | None, Mask | None]:
        """Return the pixels of a mask in the part, and all."""
        if mask is None:
            return None, None
        pixels = decode_mask(mask)
        inside = pixels[self.y : self.y + self.height, self.x : self.x + self.width]
        return inside if inside.any() else None, pixels

    def polygon(self, polygon: Array | None) -> tuple[Array | None, Array | None]:
        """Return a polygon in the part, and the whole one."""
        if polygon is None:
            return None, None
        inside = polygon - [self.x, self.y]
        for axis, limit in enumerate((self.width, self.height)):
            for side in (1, -1):
                inside = _on_one_side(inside, axis, 0 if side == 1 else limit, side)
        usable = len(inside) >= 3 and polygon_area(inside) > 0
        return inside if usable else None, polygon

    def point(self, point: Array | None) -> Array | None:
        """Return a point in the part."""
        if point is None:
            return None
        moved = point - [self.x, self.y]
        return moved if ((moved >= 0) & (moved <= [self.width, self.height])).all() else None


def _on_one_side(polygon: Array, axis: int, limit: float, side: int) -> Array:
    """Return the part of a polygon on one side of a line (Sutherland and Hodgman, 1974)."""
    if not len(polygon):
        return polygon
    inside = side * (polygon[:, axis] - limit) >= 0
    points = []
    for here, after, is_in, then_in in zip(
        polygon, np.roll(polygon, -1, 0), inside, np.roll(inside, -1), strict=True
    ):
        if is_in:
            points.append(here)
        if is_in != then_in:
            share = (limit - here[axis]) / (after[axis] - here[axis])
            crossing = here + share * (after - here)
            crossing[axis] = limit
            points.append(crossing)
    return np.array(points).reshape(-1, 2)


def _box_area(box: Array) -> float:
    return float(np.prod(box[2:] - box[:2]))


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


def _moved(instance: Instance, move: Callable[[Array], Array], turn: Any) -> Instance:
    """Return the instance with every point of every geometry moved, the pixels of a mask turned."""
    mask = instance.mask
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
        mask=None if mask is None else encode_mask(decode_mask(mask)[turn]),
    )
