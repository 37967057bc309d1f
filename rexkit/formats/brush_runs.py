"""Run lengths of Label Studio's brush masks.

The encoding is that of thi.ng's rle-pack, which Label Studio applies to the RGBA values of a mask,
row by row (https://github.com/HumanSignal/label-studio-sdk, ``converter/brush.py``). Its bits, high
ones first: 32 for the number of values, 5 for the bits of a value less one, four times 4 for the
bits of a length less one; then items, until all values are there: a bit that is 1 for a run, 2 that
choose one of the four sizes, the length less one, and the value of the run, or every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.run_lengths import MAX_PIXELS, Mask
from rexkit.structures import ImageSize

_SIZES = (3, 4, 8, 16)
_CHANNELS = 4
OPAQUE = 128
"""The alpha from which on a pixel is in the mask: edges of strokes are blurred."""


def decode_brush(runs: Any, image_size: ImageSize) -> Mask:
    """Return the pixels of a mask.

    Args:
        runs: the bytes of the encoding, as a list of numbers.
        image_size: (width, height) of the image.

    Returns:
        (height, width), true where the mask is.

    Raises:
        DataError: they are no such bytes, end too early, or are of another number of pixels.
    """
    if not isinstance(runs, list) or not all(type(n) is int and 0 <= n < 256 for n in runs):
        raise DataError("rle must be a list of bytes, numbers from 0 to 255")
    reader = _BitReader(bytes(runs))
    width, height = image_size
    number = reader.read(32)
    if number != width * height * _CHANNELS or width * height > MAX_PIXELS:
        raise DataError(
            f"rle has {number} values; the {width}x{height} pixels of the image have "
            f"{width * height * _CHANNELS}"
        )
    bits = reader.read(5) + 1
    sizes = [reader.read(4) + 1 for _ in range(4)]
    if bits != 8:
        raise DataError(f"rle has values of {bits} bits; those of Label Studio have 8")
    values = np.zeros(number, dtype=np.uint8)
    at = 0
    while at < number:
        is_run = reader.read(1)
        end = at + 1 + reader.read(sizes[reader.read(2)])
        if end > number:
            raise DataError("rle has more values than the image")
        values[at:end] = reader.read(8) if is_run else reader.read_values(end - at)
        at = end
    return np.asarray(values.reshape(height, width, _CHANNELS)[:, :, 3] >= OPAQUE)


def encode_brush(pixels: Mask) -> list[int]:
    """Return the encoding of a mask, which `decode_brush` reads.

    Args:
        pixels: (height, width), true where the mask is.

    >>> encode_brush(np.array([[False, True]]))
    [0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128]
    """
    flat = pixels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat.astype(np.int8))) + 1])
    lengths = (np.diff(starts, append=flat.size) * _CHANNELS).tolist()
    items = [(flat.size * _CHANNELS, 32), (7, 5), *((size - 1, 4) for size in _SIZES)]
    for start, length in zip(starts.tolist(), lengths, strict=True):
        value = 255 if flat[start] else 0
        for part in _parts(length):
            choice = next(i for i, size in enumerate(_SIZES) if part <= 2**size)
            items += [(4 | choice, 3), (part - 1, _SIZES[choice]), (value, 8)]
    bits = "".join(f"{number:0{width}b}" for number, width in items)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8))


def _parts(length: int) -> Sequence[int]:
    most = 2 ** _SIZES[-1]
    rest = [length % most] if length % most else []
    return [most] * (length // most) + rest


class _BitReader:
    """Reads numbers of any width from bytes, high bits first."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def read(self, width: int) -> int:
        first, end = self._at // 8, (self._at + width + 7) // 8
        if end > len(self._data):
            raise DataError("rle ends before all of its values are there")
        number = int.from_bytes(self._data[first:end]) >> (8 * end - self._at - width)
        self._at += width
        return number & ((1 << width) - 1)

    def read_values(self, count: int) -> NDArray[np.uint8]:
        """Read so many bytes, which may start anywhere."""
        number = self.read(8 * count)
        return np.frombuffer(number.to_bytes(count), np.uint8)
