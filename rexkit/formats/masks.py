"""Masks of files: COCO run lengths, outlines of several polygons, images of instance numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.images import decode_numbers
from rexkit.run_lengths import encode_mask, packed_mask
from rexkit.structures import Array, ImageSize

_MOST = 2**16 - 1
"""The largest number of an instance in a greyscale PNG."""


def read_mask(rle: Any, location: str, image_size: ImageSize) -> dict[str, Any]:
    """Return a COCO mask of an image, checked; bytes become a string, as JSON has it.

    Args:
        rle: ``{"size": [height, width], "counts": ...}``, counts as a string, bytes or a list.
        location: where it is, for messages.
        image_size: (width, height) of the image.

    Raises:
        DataError: it is of another size, or its counts do not cover the image exactly.

    >>> read_mask({"size": [2, 3], "counts": b"24"}, "masks[0]", (3, 2))
    {'size': [2, 3], 'counts': '24'}
    """
    width, height = image_size
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= rle.keys():
        raise DataError(
            f"{location}: a mask must be {{'size': [height, width], 'counts': …}}, got {short(rle)}"
        )
    if rle["size"] != [height, width]:
        raise DataError(
            f"{location}: the mask has size {short(rle['size'])} (height, width), "
            f"the image {[height, width]}"
        )
    counts = rle["counts"]
    try:
        packed_mask({"size": [height, width], "counts": counts})
    except DataError as error:
        raise DataError(f"{location}: {error.reason}, but are {short(counts)}") from error
    counts = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [height, width], "counts": counts}


def union_of_polygons(parts: Sequence[Array], image_size: ImageSize) -> dict[str, Any]:
    """Return the mask that several polygons cover together, by COCO's own rasteriser.

    Args:
        parts: (N, 2) each, N >= 3, inside the image.
        image_size: (width, height) of the image.
    """
    from pycocotools import mask as coco_mask

    width, height = image_size
    rles = coco_mask.frPyObjects([part.ravel().tolist() for part in parts], height, width)
    merged = coco_mask.merge(rles)
    return {"size": [height, width], "counts": merged["counts"].decode("ascii")}


def read_instance_numbers(image: bytes, name: str) -> NDArray[Any]:
    """Read an image of instance numbers, a greyscale PNG of 8 or 16 bit.

    Args:
        image: the encoded image.
        name: of its file, for messages.

    Returns:
        (height, width) the number of every pixel.

    Raises:
        DataError: it is no image, or not greyscale.
    """
    try:
        numbers = decode_numbers(image)
    except DataError as error:
        raise DataError(f"{name}: {error.reason}") from error
    if numbers.ndim != 2:
        raise DataError(f"{name} must be greyscale, one number a pixel; got {numbers.shape}")
    return numbers


def mask_of_number(numbers: NDArray[Any], number: Any) -> dict[str, Any]:
    """Return the COCO mask of the pixels that have a number.

    Args:
        numbers: (height, width), as `read_instance_numbers` returns them.
        number: of the instance.

    Raises:
        DataError: it is no such number, or no pixel has it.
    """
    if type(number) is not int or not 0 <= number <= _MOST:
        raise DataError(f"instance must be a whole number up to {_MOST}, got {short(number)}")
    pixels = numbers == number
    if not pixels.any():
        raise DataError(f"no pixel of the instance_mask has the value {number}")
    return encode_mask(pixels)
