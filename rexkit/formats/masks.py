"""COCO masks as run lengths, checked before anything decodes them.

pycocotools does not check what it decodes: run lengths that do not cover the image leave the rest
of the mask as it was in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.images import decode_numbers
from rexkit.structures import Array, ImageSize


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
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    lengths = run_lengths(counts) if isinstance(counts, str) else _whole_numbers(counts)
    if lengths is None or (lengths < 0).any() or lengths.sum() != width * height:
        raise DataError(
            f"{location}: the mask's counts {short(counts)} do not cover its "
            f"{width * height} pixels"
        )
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
        DataError: no pixel has it.
    """
    from pycocotools import mask as coco_mask

    pixels = numbers == number
    if not pixels.any():
        raise DataError(f"no pixel of the instance_mask has the value {number!r}")
    rle = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def mask_bounds(mask: Mapping[str, Any]) -> list[float] | None:
    """Return the box around a mask, x0 y0 x1 y1, or None where its counts cannot be decoded."""
    if not isinstance(mask.get("counts"), str | list):
        return None
    from pycocotools import mask as coco_mask

    try:
        packed = dict(mask)
        if isinstance(mask["counts"], list):
            packed = coco_mask.frPyObjects(packed, *mask["size"])
        x, y, width, height = coco_mask.toBbox(packed).tolist()
    except (TypeError, ValueError, IndexError):
        return None
    return [x, y, x + width, y + height]


def run_lengths(counts: str) -> NDArray[np.int64] | None:
    """Return the run lengths in a compressed string, or None where it is not one.

    The format is that of ``rleToString`` in pycocotools: each number in groups of five bits, low
    ones first, 32 set where another group follows, the sign in the last group's fifth bit, 48 added
    to each; from the fourth number on, the difference to the last but one.

    >>> run_lengths("24").tolist()
    [2, 4]
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    last = (codes & 32) == 0
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or not last[-1]:
        return None
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    groups = ends - starts + 1
    if groups.max() > 7:  # more than 35 bits: no image is so large
        return None
    shift = np.arange(len(codes)) - np.repeat(starts, groups)
    numbers = np.add.reduceat((codes & 31) << (5 * shift), starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << (5 * groups), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return np.asarray(numbers)


def _whole_numbers(counts: Any) -> NDArray[np.int64] | None:
    ok = isinstance(counts, list) and all(type(count) is int for count in counts)
    return np.array(counts, dtype=np.int64) if ok else None
