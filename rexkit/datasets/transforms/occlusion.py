"""What is left of an annotation where something is put in front of its image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rexkit.datasets.transforms.combined_phrases import ignored
from rexkit.datasets.transforms.warped_annotations import SAME, changed_extra
from rexkit.formats.masks import union_of_polygons
from rexkit.geometry import box_corners
from rexkit.run_lengths import Mask, decode_mask, encode_mask, mask_box
from rexkit.structures import Annotation, Array, ImageSize, Instance


@dataclass(frozen=True, eq=False)
class Cover:
    """The pixels of an image that something hides.

    Attributes:
        pixels: (h, w), true where it is.
        corner: x and y in the image of the top left one; all pixels are in the image.
    """

    pixels: Mask
    corner: tuple[int, int]

    @classmethod
    def of(cls, instance: Instance, size: ImageSize) -> Cover | None:
        """Return the pixels of an instance: of its mask, or else of its polygon, or of its box.

        Args:
            instance: it has one of these.
            size: (width, height) of its image.

        Returns:
            None where it has no pixel.
        """
        mask = _outline(instance, size)
        if mask is None and instance.bbox is not None:
            mask = union_of_polygons([box_corners(instance.bbox)], size)
        x0, y0, x1, y1 = (0, 0, 0, 0) if mask is None else mask_box(mask).astype(int).tolist()
        if mask is None or x1 <= x0 or y1 <= y0:
            return None
        return cls(decode_mask(mask)[y0:y1, x0:x1], (x0, y0))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image."""
        (x, y), (height, width) = self.corner, self.pixels.shape
        return slice(y, y + height), slice(x, x + width)

    def hides(self, point: Array) -> bool:
        """Tell whether a point, (2,) pixels of the image, is hidden."""
        column, row = np.floor(point).astype(int) - self.corner
        height, width = self.pixels.shape
        return 0 <= column < width and 0 <= row < height and bool(self.pixels[row, column])


def cover_annotation(annotation: Annotation, cover: Cover, min_visible: float) -> Annotation:
    """Return an annotation after something was put in front of the image.

    A mask loses what is hidden, a polygon of which a part is hidden becomes a mask, and a box is
    cut to what is seen in it. Hidden keypoints are not visible. An instance that is hidden
    altogether is left out. One of which less than ``min_visible`` is left, whose text is not seen
    whole, or of which only a point is known, and that hidden, is ignored.

    Args:
        annotation: is not changed.
        cover: what is put there.
        min_visible: the least share of an instance's area that counts as seen, in [0, 1].
    """
    found = (_behind(i, cover, annotation.image_size, min_visible) for i in annotation.instances)
    return replace(annotation, instances=[i for i in found if i is not None])


def _behind(
    instance: Instance, cover: Cover, size: ImageSize, min_visible: float
) -> Instance | None:
    """Return what is seen of an instance, or None for nothing."""
    share, left = 1.0, instance
    if (outline := _outline(instance, size)) is not None:
        share, left = _outlined(instance, outline, cover)
    elif instance.bbox is not None:
        share, box = _seen_of_box(instance.bbox, cover, size)
        if share < 1:
            left = replace(instance, bbox=box, extra=changed_extra(instance, None, share))
    if share == 0:
        return None
    if instance.keypoints:
        seen = {
            name: None if xy is None or cover.hides(xy) else xy
            for name, xy in instance.keypoints.items()
        }
        left = replace(left, keypoints=seen)
    if instance.point is not None and cover.hides(instance.point):
        alone = instance.mask is None and instance.polygon is None and instance.bbox is None
        left = ignored(left) if alone else replace(left, point=None)
    unread = instance.text is not None and share < 1
    return ignored(left) if share < min_visible or unread else left


def _outline(instance: Instance, size: ImageSize) -> dict[str, Any] | None:
    """Return the mask of an instance, or that of its polygon."""
    if instance.mask is not None or instance.polygon is None:
        return instance.mask
    return union_of_polygons([instance.polygon], size)


def _outlined(instance: Instance, mask: dict[str, Any], cover: Cover) -> tuple[float, Instance]:
    """Return the seen share of an instance whose outline is a mask, and what is seen of it."""
    pixels = decode_mask(mask)
    before = int(pixels.sum())
    pixels[cover.window] &= ~cover.pixels
    after = int(pixels.sum())
    if after == before:
        return 1.0, instance
    seen, box = encode_mask(pixels), instance.bbox
    if box is not None and np.abs(box - mask_box(mask)).max() <= SAME:
        box = mask_box(seen)
    extra = changed_extra(instance, None, after / before)
    return after / before, replace(instance, mask=seen, polygon=None, bbox=box, extra=extra)


def _seen_of_box(box: Array, cover: Cover, size: ImageSize) -> tuple[float, Array]:
    """Return the seen share of a box, and the box around what is seen in it."""
    low = np.clip(np.floor(box[:2]), 0, np.subtract(size, 1)).astype(int)
    high = np.clip(np.ceil(box[2:]), low + 1, size).astype(int)
    seen = np.ones((high - low)[::-1], dtype=np.bool_)
    x, y = cover.corner - low
    rows, columns = (
        (max(0, start), max(0, start + length))
        for start, length in zip((y, x), cover.pixels.shape, strict=True)
    )
    part = cover.pixels[rows[0] - y :, columns[0] - x :]
    target = seen[slice(*rows), slice(*columns)]
    target &= ~part[: target.shape[0], : target.shape[1]]
    if not seen.any():
        return 0.0, box
    row, column = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    first, last = (np.array([column[i], row[i]]) for i in (0, -1))
    cut = np.append(np.maximum(box[:2], low + first), np.minimum(box[2:], low + last + 1))
    return float(seen.mean()), cut
