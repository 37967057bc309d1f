"""Images to the patches a Qwen vision tower takes, and the grid they are resized to.

The image processors of transformers do the same through float64 copies of the whole image. Here
the bytes are put into the order of the patches first, and become numbers last, a few rows at a
time: the same values to 1e-6, with and without torchvision, several times as fast
(``python -m benchmarks.preprocess``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from rexkit.errors import DataError
from rexkit.structures import ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT = 200
"""How many times as long as the other a side may be; more the Qwen families do not take."""

_ROWS = 128  # patches turned into numbers at a time: few enough to stay in the processor's cache


def grid_size(image_size: ImageSize, image_processor: Any) -> ImageSize:
    """(width, height) that an image is resized to, in whole cells and within the pixel budget.

    Args:
        image_size: (width, height) of the image.
        image_processor: of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL processor.

    Raises:
        DataError: one side is more than `MAX_ASPECT` times the other.
    """
    width, height = image_size
    if max(image_size) > MAX_ASPECT * min(image_size):
        raise DataError(
            f"an image of {width} x {height} pixels: one side is more than {MAX_ASPECT} times the "
            "other, which the model cannot take; cut it into pieces"
        )
    resized = smart_resize(
        height,
        width,
        image_processor.patch_size * image_processor.merge_size,
        image_processor.size["shortest_edge"],
        image_processor.size["longest_edge"],
    )
    return resized[1], resized[0]


def fitted_size(image_size: ImageSize, image_processor: Any) -> ImageSize | None:
    """The `grid_size`, where an image of that size would be left as it is; else None.

    An image can then be resized beforehand. Long strips that fill the budget would be resized a
    second time, so they must come as they are.

    Raises:
        DataError: as in `grid_size`.
    """
    resized = grid_size(image_size, image_processor)
    if max(resized) > MAX_ASPECT * min(resized):
        return None
    return resized if grid_size(resized, image_processor) == resized else None


def resized(image: Image, image_processor: Any) -> Image:
    """The image at the size of its grid, so that whoever reads it next leaves it so."""
    size = fitted_size(image.size, image_processor)
    return image if size in (None, image.size) else image.resize(size, image_processor.resample)


def to_patches(
    images: Sequence[Image], image_processor: Any
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What the vision tower takes: resized, normalised and cut into patches.

    Args:
        images: RGB.
        image_processor: whose settings are followed.

    Returns:
        ``pixel_values`` (patches, 3 * temporal * patch * patch) and ``image_grid_thw`` (N, 3), as
        the image processor gives them.

    Raises:
        DataError: as in `grid_size`.
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
            numbers = ordered[start : start + _ROWS] * scale + shift
            place = first + start
            values[place : place + len(numbers)] = numbers[:, :, None]
        first += len(ordered)
    return values.reshape(len(values), -1), grids


def _linear(image_processor: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rescaling and normalising as ``byte * scale + shift``, each (3, 1)."""
    factor = image_processor.rescale_factor if image_processor.do_rescale else 1.0
    mean, std = np.zeros(3), np.ones(3)
    if image_processor.do_normalize:
        mean, std = np.array(image_processor.image_mean), np.array(image_processor.image_std)
    scale, shift = factor / std, -mean / std
    return scale.astype(np.float32)[:, None], shift.astype(np.float32)[:, None]
