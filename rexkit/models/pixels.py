"""Resizing of images to a pixel budget, and the patches that Qwen vision towers take.

The image processors of transformers compute the same patches through float64 copies of the whole
image. Here the bytes are reordered into patches first and converted to float32 last, a few rows at
a time: the same values to 1e-6, with and without torchvision, several times as fast
(``python -m benchmarks.preprocess``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rexkit._compat.transformers import smart_resize
from rexkit.errors import DataError
from rexkit.structures import ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT = 200
"""Largest ratio of the sides of an image that the Qwen families accept."""

_ROWS = 128  # patches converted at a time: few enough to stay in the processor's cache


def pixel_budget(min_pixels: int, max_pixels: int, cell: int) -> dict[str, int]:
    """Return a pixel budget in whole cells, as the image processors take it.

    Args:
        min_pixels: Least number of pixels of a resized image.
        max_pixels: Largest number of pixels of a resized image.
        cell: Side in pixels of the square that becomes one token: 28 for Qwen2.5-VL, 32 for
            Qwen3-VL.

    Returns:
        ``shortest_edge`` and ``longest_edge``, which the Qwen image processors read as areas.

    Raises:
        ValueError: If the budget is empty or holds less than one cell.

    >>> pixel_budget(1000, 1_000_000, 28)
    {'shortest_edge': 1568, 'longest_edge': 999600}
    """
    area = cell * cell
    if not 0 < min_pixels <= max_pixels:
        raise ValueError(
            f"min_pixels, max_pixels: need 0 < min_pixels <= max_pixels, got {min_pixels} and "
            f"{max_pixels}"
        )
    if max_pixels < area:
        raise ValueError(f"max_pixels={max_pixels} is less than one cell of {cell}x{cell} pixels")
    return {
        "shortest_edge": -(-min_pixels // area) * area,
        "longest_edge": max_pixels // area * area,
    }


def grid_size(image_size: ImageSize, image_processor: Any) -> ImageSize:
    """Return the size that an image is resized to: whole cells, within the pixel budget.

    Args:
        image_size: (width, height) of the image, in pixels.
        image_processor: Image processor of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL model.

    Returns:
        (width, height) in pixels.

    Raises:
        DataError: If one side is more than `MAX_ASPECT` times the other.
    """
    width, height = image_size
    if max(image_size) > MAX_ASPECT * min(image_size):
        raise DataError(
            f"an image of {width} x {height} pixels: one side is more than {MAX_ASPECT} times the "
            "other, which the model does not accept; crop it into pieces"
        )
    resized = smart_resize(
        height,
        width,
        image_processor.patch_size * image_processor.merge_size,
        image_processor.size["shortest_edge"],
        image_processor.size["longest_edge"],
    )
    return resized[1], resized[0]


def stable_grid_size(image_size: ImageSize, image_processor: Any) -> ImageSize | None:
    """Return the `grid_size` if an image of that size keeps it, else None.

    An image can be resized to such a size in advance. A long strip that fills the budget would be
    resized a second time, so it must be passed to the processor as it is.

    Args:
        image_size: (width, height) of the image, in pixels.
        image_processor: As in `grid_size`.

    Returns:
        (width, height) in pixels, or None.

    Raises:
        DataError: As in `grid_size`.
    """
    resized = grid_size(image_size, image_processor)
    if max(resized) > MAX_ASPECT * min(resized):
        return None
    return resized if grid_size(resized, image_processor) == resized else None


def resize_to_grid(image: Image, image_processor: Any) -> Image:
    """Return an image at its `stable_grid_size`, so that an image processor keeps that size."""
    size = stable_grid_size(image.size, image_processor)
    return image if size in (None, image.size) else image.resize(size, image_processor.resample)


def to_patches(
    images: Sequence[Image], image_processor: Any
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Resize and normalise images and cut them into patches.

    Args:
        images: N images in RGB.
        image_processor: Image processor whose settings are used.

    Returns:
        ``pixel_values`` (patches, 3 * temporal * patch * patch) and ``image_grid_thw`` (N, 3), as
        the image processor returns them.

    Raises:
        DataError: As in `grid_size`.
    """
    patch, merge = image_processor.patch_size, image_processor.merge_size
    pixels = []
    for image in images:
        size = grid_size(image.size, image_processor)
        resized = image if image.size == size else image.resize(size, image_processor.resample)
        pixels.append(np.asarray(resized))
    grids = np.array([(1, p.shape[0] // patch, p.shape[1] // patch) for p in pixels], np.int64)
    temporal = image_processor.temporal_patch_size
    values = np.empty((int(grids.prod(1).sum()), 3, temporal, patch * patch), np.float32)
    scale, shift = _linear(image_processor)
    first = 0
    for array, (_, rows, columns) in zip(pixels, grids.tolist(), strict=True):
        cells = array.reshape(
            rows // merge, merge, patch, columns // merge, merge, patch, 3
        ).transpose(0, 3, 1, 4, 6, 2, 5)
        ordered = np.ascontiguousarray(cells).reshape(rows * columns, 3, patch * patch)
        for start in range(0, len(ordered), _ROWS):
            normalised = ordered[start : start + _ROWS] * scale + shift
            at = first + start
            values[at : at + len(normalised)] = normalised[:, :, None]
        first += len(ordered)
    return values.reshape(len(values), -1), grids


def _linear(image_processor: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return rescaling and normalising as ``byte * scale + shift``, each (3, 1)."""
    factor = image_processor.rescale_factor if image_processor.do_rescale else 1.0
    mean, std = np.zeros(3), np.ones(3)
    if image_processor.do_normalize:
        mean, std = np.array(image_processor.image_mean), np.array(image_processor.image_std)
    scale, shift = factor / std, -mean / std
    return scale.astype(np.float32)[:, None], shift.astype(np.float32)[:, None]
