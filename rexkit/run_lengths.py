"""COCO masks as run lengths, checked before pycocotools decodes them.

pycocotools does not check what it decodes: a mask without a size ends the process, and run lengths
that do not cover the image leave the rest of the mask as it was in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.structures import Array

Mask = NDArray[np.bool_]

MAX_PIXELS = 2**30
"""The most pixels of a mask."""


def packed_mask(mask: Any) -> dict[str, Any]:
    """Return a mask as pycocotools takes it: checked, its counts as a string or bytes.

    Args:
        mask: ``{"size": [height, width], "counts": ...}``, counts as a string, bytes or a list of
            numbers.

    Raises:
        DataError: it is no such object, its size is not two whole numbers above 0, or its counts do
            not cover its pixels exactly.

    >>> packed_mask({"size": [2, 3], "counts": [2, 4]})
    {'size': [2, 3], 'counts': b'24'}
    """
    if not isinstance(mask, Mapping) or not {"size", "counts"} <= mask.keys():
        raise DataError("a mask must be {'size': [height, width], 'counts': …}")
    size, counts = mask["size"], mask["counts"]
    sides = list(size) if isinstance(size, (list, tuple)) else []
    if len(sides) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in sides):
        raise DataError("the size of a mask must be [height, width], whole numbers above 0")
    height, width = map(int, sides)
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise DataError(f"the mask has {height} x {width} pixels; the most are {MAX_PIXELS}")
    if not _cover(counts, pixels):
        raise DataError(f"the mask's counts do not cover its {pixels} pixels")
    packed = {"size": [height, width], "counts": counts}
    if isinstance(counts, list):
        from pycocotools import mask as coco_mask

        packed["counts"] = coco_mask.frPyObjects(packed, height, width)["counts"]
    return packed


def decode_mask(rle: Mapping[str, Any]) -> Mask:
    """Decode a mask.

    Args:
        rle: COCO run lengths, ``{"size": [height, width], "counts": ...}`` with the counts as a
            string, as bytes or as a list of numbers.

    Returns:
        (height, width) bool.

    Raises:
        DataError: as in `packed_mask`.
    """
    from pycocotools import mask as coco_mask

    return np.asarray(coco_mask.decode(packed_mask(rle)), dtype=np.bool_)


def encode_mask(pixels: Mask) -> dict[str, Any]:
    """Return the mask of some pixels, its counts as a string.

    Args:
        pixels: (height, width), true where the mask is.

    >>> encode_mask(np.array([[False, True, True], [False, True, True]]))
    {'size': [2, 3], 'counts': '24'}
    """
    from pycocotools import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def encode_placed_mask(
    pixels: Mask, corner: tuple[int, int], image_size: tuple[int, int]
) -> dict[str, Any]:
    """Return the mask of some pixels of a part of an image, as `encode_mask` of the whole would.

    Args:
        pixels: (h, w), true where the mask is.
        corner: x and y of the part's top left pixel.
        image_size: (width, height) of the image, which holds the part.

    >>> encode_placed_mask(np.ones((2, 2), dtype=np.bool_), (1, 0), (3, 2))
    {'size': [2, 3], 'counts': '24'}
    """
    from pycocotools import mask as coco_mask

    (x, y), (width, height) = corner, image_size
    padded = np.zeros((pixels.shape[1], pixels.shape[0] + 2), dtype=np.int8)
    padded[:, 1:-1] = pixels.T
    column, row = np.nonzero(np.diff(padded, axis=1))
    ends = (x + column) * height + y + row  # of runs, down the columns: start, end, start, …
    joined = np.flatnonzero(ends[1:-1:2] == ends[2::2])  # a run that goes on in the next column
    ends = np.delete(ends, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    counts = np.diff(ends, prepend=0, append=width * height).tolist()
    size = [height, width]
    lengths = counts if counts[-1] or len(counts) == 1 else counts[:-1]
    rle = coco_mask.frPyObjects({"size": size, "counts": lengths}, height, width)
    return {"size": size, "counts": rle["counts"].decode("ascii")}


def mask_area(mask: Mapping[str, Any]) -> int:
    """Return the number of pixels of a mask.

    Raises:
        DataError: as in `packed_mask`.
    """
    from pycocotools import mask as coco_mask

    return int(coco_mask.area(packed_mask(mask)))


def mask_box(mask: Mapping[str, Any]) -> Array:
    """Return the box around a mask: (4,) xyxy in pixels, zeros for an empty one.

    Raises:
        DataError: as in `packed_mask`.
    """
    from pycocotools import mask as coco_mask

    x, y, width, height = coco_mask.toBbox(packed_mask(mask)).tolist()
    return np.array([x, y, x + width, y + height])


def run_lengths(counts: str | bytes) -> NDArray[np.int64] | None:
    """Return the run lengths in a compressed string, or None where it is not one.

    The format is that of ``rleToString`` in pycocotools: each number in groups of five bits, low
    ones first, 32 set where another group follows, the sign in the last group's fifth bit, 48 added
    to each; from the fourth number on, the difference to the last but one.

    >>> run_lengths("24").tolist()
    [2, 4]
    """
    try:
        data = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        return None
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
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


def _cover(counts: Any, pixels: int) -> bool:
    """Tell whether run lengths cover a number of pixels exactly."""
    if isinstance(counts, (str, bytes)):
        lengths = run_lengths(counts)
        if lengths is None or (lengths < 0).any() or (lengths > pixels).any():
            return False
        return int(lengths.sum()) == pixels
    # Python's own numbers: those of numpy would wrap around.
    return (
        isinstance(counts, list)
        and all(type(count) is int and 0 <= count <= pixels for count in counts)
        and sum(counts) == pixels
    )
