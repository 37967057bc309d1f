"""Image files: decoded to upright RGB, and encoded."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rexkit.errors import DataError

UNDECODABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for damaged files, by format."""

_LOSSY_FORMATS = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}
_EXIF_ORIENTATION = 0x0112
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2


def read_image(path: Path) -> bytes:
    """Read the bytes of an image file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the image {path} ({error.strerror})") from error


def decode_image(data: bytes) -> Image.Image:
    """Decode an image to RGB, turned upright by its EXIF orientation.

    Data sets and `rexkit.formats.open_source` use this function alone, so that training, tests and
    inference have the same pixels. JPEG files are decoded in full. libjpeg can also decode them at
    a half, a quarter or an eighth of their size (Pillow's ``draft``), but a resized image then
    differs by up to 4.6 levels of 255 on average. The difference was below one level for each of
    131 files only with at least three times the needed size left (``benchmarks/jpeg_scales.py``):
    for Rex-Omni, in images of 72 megapixels or more.

    16-bit grey is scaled to 8 bits; Pillow's own conversion would clip it to white.

    Raises:
        DataError: it is no image, truncated, damaged, or larger than Pillow allows.
    """
    try:
        image: Image.Image = Image.open(BytesIO(data))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except UNDECODABLE as error:
        raise undecodable(error) from error
    if image.format == "JPEG" and image.mode == "RGB":
        return image  # to_rgb would copy it
    return to_rgb(image)


def undecodable(error: Exception) -> DataError:
    """Return the error for one of `UNDECODABLE`; the same message for the same file each time."""
    if isinstance(error, UnidentifiedImageError):  # its own message ends in an address in memory
        return DataError("the image cannot be decoded (it is of no format that Pillow knows)")
    return DataError(f"the image cannot be decoded ({error})")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; 16-bit grey is scaled to 8 bits, transparency dropped.

    Raises:
        DataError: its pixels are floats or 32-bit integers, which have no fixed brightness.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(
            f"pixels of mode {image.mode!r} have no fixed brightness; convert them to 8 bits"
        )
    return image.convert("RGB")


def image_bytes_to_store(data: bytes, image: Image.Image) -> bytes:
    """Return the bytes to store for an image: its own where any reader shows them upright in RGB.

    A baseline or progressive RGB JPEG that is upright is kept byte by byte. Others are
    encoded upright and without metadata: as PNG where the source is lossless, so that nothing is
    lost; where it is lossy already, as JPEG of quality 95 with full colour resolution, which
    looks the same and is far smaller than a PNG.

    Args:
        data: the image file.
        image: the same, as `decode_image` returned it.
    """
    source = Image.open(BytesIO(data))
    lossy = source.format in _LOSSY_FORMATS
    if (
        source.format in ("JPEG", "MPO")
        and source.mode == "RGB"
        and source.getexif().get(_EXIF_ORIENTATION, 1) == 1
        and _jpeg_process(data) in (_BASELINE, _PROGRESSIVE)
    ):
        return data
    return encode_image(image, lossy)


def encode_image(image: Image.Image, lossy: bool = False) -> bytes:
    """Encode an image as PNG, or as JPEG of quality 95 with full colour resolution."""
    buffer = BytesIO()
    if lossy:
        image.save(buffer, "JPEG", quality=95, subsampling="4:4:4")
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg_process(data: bytes) -> int | None:
    """Find the marker of a JPEG's coding process (start of frame, ITU-T T.81 table B.1)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
