"""The eight EXIF orientations: annotations of stored pixels, turned with their image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rexkit.run_lengths import Mask, decode_mask, encode_mask
from rexkit.structures import Annotation, Array, ImageSize, Instance

__all__ = ["turned", "upright_size"]

UPRIGHT = 1

_MASKS: dict[int, Callable[[Mask], Mask]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).T,
    8: np.rot90,
}
"""What turns the stored pixels of each orientation upright, by EXIF 2.3, tag 0x0112."""


def upright_size(stored: ImageSize, orientation: int) -> ImageSize:
    """Return the (width, height) of an image that is turned upright.

    The same turns an upright size back to the stored one.

    >>> upright_size((640, 480), 6)
    (480, 640)
    """
    return stored[::-1] if orientation >= 5 else stored


def turned(annotation: Annotation, orientation: int) -> Annotation:
    """Turn an annotation of an image's stored pixels as its EXIF orientation turns the image.

    Args:
        annotation: in pixels of the image as it is stored.
        orientation: the EXIF orientation, 1 to 8.

    Returns:
        The annotation of the upright image. ``extra`` is as before. Left and right keypoints keep
        their names in mirrored images (2, 4, 5, 7).

    >>> corner = Annotation((640, 480), [Instance("cup", bbox=[0, 0, 10, 20])])
    >>> turned(corner, 6).boxes().tolist()
    [[460.0, 0.0, 480.0, 10.0]]
    """
    if orientation == UPRIGHT:
        return annotation
    width, height = annotation.image_size

    def move(xy: Array) -> Array:
        x, y = xy[..., 0], xy[..., 1]
        places = {
            2: (width - x, y),
            3: (width - x, height - y),
            4: (x, height - y),
            5: (y, x),
            6: (height - y, x),
            7: (height - y, width - x),
            8: (y, width - x),
        }
        return np.stack(places[orientation], axis=-1)

    def turn(instance: Instance) -> Instance:
        box, mask, keypoints = instance.bbox, instance.mask, instance.keypoints
        if box is not None:
            corners = move(box.reshape(2, 2))
            box = np.concatenate([corners.min(0), corners.max(0)])
        if mask is not None:
            mask = encode_mask(_MASKS[orientation](decode_mask(mask)))
        if keypoints is not None:
            keypoints = {name: None if xy is None else move(xy) for name, xy in keypoints.items()}
        return replace(
            instance,
            bbox=box,
            point=None if instance.point is None else move(instance.point),
            polygon=None if instance.polygon is None else move(instance.polygon),
            keypoints=keypoints,
            mask=mask,
        )

    size = upright_size(annotation.image_size, orientation)
    return replace(annotation, image_size=size, instances=[*map(turn, annotation.instances)])
