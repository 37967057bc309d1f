"""Conversion between pixels and the 1,000 coordinate bins, the same wherever it is needed.

``bin = min(999, floor(clamp(x / width, 0, 1) * 999))`` and ``x = bin / 999 * width``, the same for
y with the height. Source: the public Rex-Omni code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.structures import Array, ImageSize

NUM_BINS = 1000
LAST_BIN = NUM_BINS - 1

# The floating-point result of bin / 999 * width may fall just below its own bin. A billionth of a
# bin keeps to_bins(to_pixels(b)) == b and is far below the precision of any annotation.
_EPSILON = 1e-9


def to_bins(coords: ArrayLike, image_size: ImageSize) -> NDArray[np.int64]:
    """Convert pixels to bins, keeping the shape.

    Args:
        coords: (..., 2k) alternating x, y in pixels; outside the image is clamped to its edge.
        image_size: (width, height) in pixels, both positive.

    Returns:
        Bins from 0 to 999, in the shape of ``coords``.

    Raises:
        ValueError: a coordinate is not a finite number, the last axis does not hold pairs, or the
            size is not positive.

    >>> to_bins([0, 240, 640, 480], (640, 480))
    array([  0, 499, 999, 999])
    """
    xy = _pairs(coords)
    if not np.isfinite(xy).all():
        raise ValueError(f"coordinates must be finite numbers, got {np.asarray(coords).tolist()}")
    relative = np.clip(xy / check_image_size(image_size), 0.0, 1.0)
    bins: NDArray[np.int64] = (
        np.floor(relative * LAST_BIN + _EPSILON).clip(max=LAST_BIN).astype(np.int64)
    )
    return bins.reshape(np.shape(coords))


def to_pixels(bins: ArrayLike, image_size: ImageSize) -> Array:
    """Convert bins to pixels, keeping the shape; the inverse of `to_bins` up to one bin.

    Args:
        bins: (..., 2k) alternating x, y in bins, 0 to 999.
        image_size: (width, height) in pixels, both positive.

    Returns:
        Pixels, in the shape of ``bins``.

    Raises:
        ValueError: the last axis does not hold pairs, or the size is not positive.

    >>> to_pixels([999, 0], (640, 480))
    array([640.,   0.])
    """
    pixels: Array = _pairs(bins) / LAST_BIN * check_image_size(image_size)
    return pixels.reshape(np.shape(bins))


def check_image_size(image_size: ImageSize) -> tuple[float, float]:
    """Return the size, unchanged, if it is valid.

    Args:
        image_size: (width, height) in pixels.

    Returns:
        The same two numbers.

    Raises:
        ValueError: they are not both positive.
    """
    width, height = image_size
    if width > 0 and height > 0:
        return width, height
    raise ValueError(f"image_size must be (width, height), both above 0, got {image_size}")


def _pairs(coords: ArrayLike) -> Array:
    xy = np.asarray(coords, dtype=np.float64)
    if xy.ndim == 0 or xy.shape[-1] % 2:
        raise ValueError(f"coordinates must alternate x and y, got shape {xy.shape}")
    return xy.reshape(*xy.shape[:-1], xy.shape[-1] // 2, 2)
