"""Pixels to the 1,000 coordinate bins and back: one formula for training, reading and scoring.

``bin = min(999, floor(clamp(x / width, 0, 1) * 999))`` and ``x = bin / 999 * width``, the same for
y with the height. Source: the public Rex-Omni code, which quantises so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.structures import Array, ImageSize

NUM_BINS = 1000
LAST_BIN = NUM_BINS - 1

# x = bin / 999 * width is rounded by the machine and may come out a hair under its own bin.
# A billionth of a bin keeps to_bins(to_pixels(b)) == b and moves nothing that was measured.
_HAIR = 1e-9


def to_bins(coords: ArrayLike, image_size: ImageSize) -> NDArray[np.int64]:
    """Pixels to bins, keeping the shape.

    Args:
        coords: (..., 2k) alternating x, y in pixels; outside the image is clamped to its edge.
        image_size: (width, height), both positive.

    Raises:
        ValueError: a coordinate is not a finite number, they do not come in pairs, or the size is
            not positive.

    >>> to_bins([0, 240, 640, 480], (640, 480))
    array([  0, 499, 999, 999])
    """
    xy = _pairs(coords)
    if not np.isfinite(xy).all():
        raise ValueError(f"coordinates must be finite numbers, got {np.asarray(coords).tolist()}")
    share = np.clip(xy / check_image_size(image_size), 0.0, 1.0)
    bins: NDArray[np.int64] = np.floor(share * LAST_BIN + _HAIR).clip(max=LAST_BIN).astype(np.int64)
    return bins.reshape(np.shape(coords))


def to_pixels(bins: ArrayLike, image_size: ImageSize) -> Array:
    """Bins to pixels, keeping the shape; the inverse of `to_bins` up to one bin.

    Args:
        bins: (..., 2k) alternating x, y in bins, 0…999.
        image_size: (width, height), both positive.

    >>> to_pixels([999, 0], (640, 480))
    array([640.,   0.])
    """
    pixels: Array = _pairs(bins) / LAST_BIN * check_image_size(image_size)
    return pixels.reshape(np.shape(bins))


def check_image_size(image_size: ImageSize) -> tuple[float, float]:
    """The size as it came.

    Raises:
        ValueError: it is not two positive numbers.
    """
    width, height = image_size
    if width > 0 and height > 0:
        return width, height
    raise ValueError(f"image_size must be (width, height) above zero, got {image_size}")


def _pairs(coords: ArrayLike) -> Array:
    xy = np.asarray(coords, dtype=np.float64)
    if xy.ndim == 0 or xy.shape[-1] % 2:
        raise ValueError(f"coordinates must alternate x and y, got shape {xy.shape}")
    return xy.reshape(*xy.shape[:-1], xy.shape[-1] // 2, 2)
