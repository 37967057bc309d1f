"""Image files: decoded to upright RGB, and encoded."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from rexkit.errors import ConfigError, DataError

Color: TypeAlias = str | Sequence[int]
"""A colour as Pillow names it ("white", "#80ff00"), or its red, green and blue from 0 to 255."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
"""The formats that are opened: those that Pillow decodes itself. An EPS file, for example, would
start Ghostscript."""

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "bmp", "gif", "ppm", "pgm", "pbm", "pnm"),
        *("tif", "tiff", "webp", "jp2", "j2k", "avif"),
    )
)
"""The suffixes of these formats, in lower case."""

MAX_FILE_BYTES = 2**30

_LOSSY_FORMATS = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}
_EXIF_ORIENTATION = 0x0112
_TIFF_BITS = 0x0102
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_LARGE_PIXELS = 2**24
_STRIP_PIXELS = 2**20
_DEPTHS = (8, 10, 12, 14, 16)
_NATIVE, _OPPOSITE = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": f"RGB;16{_OPPOSITE}"}
"""Pillow's raw modes of 16-bit colour, which keep the high bytes, and those that keep the low."""

T = TypeVar("T")


class _Turns:
    """Large images are decoded one at a time, so that threads do not multiply their memory."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # a thread of the parent may hold the lock
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_turns = _Turns()


def read_image(path: Path) -> bytes:
    """Read the bytes of an image file, up to 1 GiB.

    Raises:
        DataError: it cannot be read, is no regular file, or is larger.
    """
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise DataError(f"cannot read the image {path} (it is a device or a pipe, not a file)")
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(
                f"cannot read the image {path} (it has {status.st_size} bytes; the most are "
                f"{MAX_FILE_BYTES})"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        hint = _hint(path)
        raise DataError(f"cannot read the image {path} ({error.strerror}{hint})") from error
    except OSError as error:
        raise DataError(f"cannot read the image {path} ({error.strerror})") from error
    except DataError:
        raise
    except ValueError as error:  # a NUL, or a surrogate that the file system cannot encode
        raise DataError(f"cannot read the image {str(path)!a} ({error})") from error


def _hint(path: Path) -> str:
    """Return what may be wrong with the name of an image that is missing, as the end of a text."""
    if "\\" in str(path):
        return "; its name has the separators of Windows: write / in their place"
    folder = path.parent
    if not os.path.isdir(folder):
        while not os.path.isdir(folder.parent) and folder != folder.parent:
            folder = folder.parent
        return f"; there is no folder {folder}"
    known = sorted(IMAGE_SUFFIXES)
    others = [path.suffix.lower(), path.suffix.upper(), *known, *map(str.upper, known)]
    near = (path.with_suffix(suffix) for suffix in others)
    return next((f"; there is {file.name}" for file in near if os.path.isfile(file)), "")


def decode_image(data: bytes, background: Color = "white") -> Image.Image:
    """Decode an image to RGB, turned upright by its EXIF orientation.

    Data sets and `rexkit.formats.open_source` use this function alone, so that training, tests and
    inference have the same pixels. JPEG files are decoded in full. libjpeg can also decode them at
    a half, a quarter or an eighth of their size (Pillow's ``draft``), but a resized image then
    differs by up to 4.6 levels of 255 on average. The difference was below one level for each of
    131 files only with at least three times the needed size left (``benchmarks/jpeg_scales.py``):
    for Rex-Omni, in images of 72 megapixels or more.

    Transparency and pixels of more than 8 bits become RGB as `to_rgb` says.

    Args:
        data: a file of one of `FORMATS`.
        background: the colour behind transparent pixels.

    Raises:
        DataError: it is of another format, truncated or damaged, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS`` (89,478,485, unless the program sets another number).
            Decoding takes up to 9 bytes a pixel: 0.8 GB for an image of that size.
    """
    return decode_oriented(data, background)[0]


def decode_oriented(data: bytes, background: Color = "white") -> tuple[Image.Image, int]:
    """Decode an image as `decode_image` does; return it and its EXIF orientation, 1 to 8."""
    return _decode(data, lambda image: _upright_rgb(image, data, background))


def decode_numbers(data: bytes) -> NDArray[Any]:
    """Decode an image to the numbers that its file holds, such as instance numbers; not turned.

    Args:
        data: a file of one of `FORMATS`.

    Returns:
        (height, width) or (height, width, channels).

    Raises:
        DataError: as `decode_image`.
    """
    return _decode(data, np.asarray)


def undecodable(error: Exception) -> DataError:
    """Return the error for whatever a decoder raised; the same for the same file each time."""
    if isinstance(error, DataError):
        return error
    if isinstance(error, UnidentifiedImageError):  # its own message ends in an address in memory
        reason = f"it is none of {', '.join(FORMATS)}; convert it to PNG"
    else:
        reason = str(error) or type(error).__name__
    return DataError(f"the image cannot be decoded ({reason})")


def to_rgb(image: Image.Image, background: Color = "white") -> Image.Image:
    """Convert an image to RGB.

    Transparent pixels are laid on a background, by default white as in the Qwen models' own code
    and in vLLM. Grey of more than 8 bits is scaled by its range: that of the number of bits (8, 10,
    12, 14 or 16) that its file states, else of the least of these that holds its brightest pixel.
    So 12-bit pixels in a 16-bit file do not become dark.

    Args:
        image: of any mode.
        background: the colour behind transparent pixels.

    Raises:
        DataError: its pixels are floats, or whole numbers beyond 16 bits, which have no fixed
            brightness; or it cannot be decoded.
    """
    try:
        image.load()
        if image.mode == "F" or image.mode.startswith("I"):
            return _deep_grey(image, background)
        if image.has_transparency_data:
            return _on_background(image, background)
        return image.convert("RGB")
    except Exception as error:
        raise undecodable(error) from error


def to_8_bits(numbers: NDArray[Any], bits: int = 0) -> NDArray[np.uint8]:
    """Scale whole numbers from 0 to 65,535 to 8 bits, by their range.

    Args:
        numbers: of any shape.
        bits: how many bits they have at least. The range is that of the least of 8, 10, 12, 14 and
            16 bits that holds them all.

    >>> to_8_bits(np.array([0, 2048, 4095])).tolist()
    [0, 128, 255]
    """
    highest = int(numbers.max(initial=0))
    depth = next(depth for depth in _DEPTHS if highest < 2**depth and bits <= depth)
    return (numbers >> (depth - 8)).astype(np.uint8)


def rgb_color(color: Color, name: str = "background") -> tuple[int, int, int]:
    """Return the red, green and blue of a colour.

    Args:
        color: see `Color`.
        name: of the argument, for messages.

    Raises:
        ConfigError: it is no colour.

    >>> rgb_color("#ff8000"), rgb_color([0, 0, 9])
    ((255, 128, 0), (0, 0, 9))
    """
    try:
        values = ImageColor.getrgb(color)[:3] if isinstance(color, str) else tuple(color)
    except (ValueError, TypeError):
        values = ()
    if len(values) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in values):
        raise ConfigError(
            f"{name}: {color!r} is no colour; give a name such as 'white', '#rrggbb', or "
            "[red, green, blue] from 0 to 255"
        )
    return values


def open_image(file: Path | BytesIO) -> Image.Image:
    """Open an image of one of `FORMATS` without decoding it; errors are Pillow's own."""
    Image.init()
    return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def read_header(file: Path | bytes) -> tuple[tuple[int, int], int]:
    """Return the (width, height) of an upright image and its EXIF orientation, without decoding it.

    Args:
        file: the file, or its bytes.

    Raises:
        DataError: it cannot be read, is of none of `FORMATS`, or its header is damaged.
    """
    try:
        with open_image(file if isinstance(file, Path) else BytesIO(file)) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            size = image.size
    except Exception as error:
        raise undecodable(error) from error
    if orientation not in range(1, 9):  # not turned by Pillow
        orientation = 1
    return (size[::-1] if orientation >= 5 else size), orientation


def stored_size(path: Path) -> tuple[int, int]:
    """Return the (width, height) of an image file as it is stored, not turned.

    Raises:
        DataError: it is of none of `FORMATS`, or damaged.
    """
    try:
        with open_image(path) as image:
            return image.size
    except Exception as error:
        raise undecodable(error) from error


def _decode(data: bytes, use: Callable[[Image.Image], T]) -> T:
    """Return what ``use`` makes of an image, within the limits on pixels."""
    try:
        image = open_image(BytesIO(data))
        pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:
            raise DataError(
                f"the image cannot be decoded (its {image.width} x {image.height} pixels may be a "
                f"decompression bomb; the most are {most}); make it smaller, or set "
                "PIL.Image.MAX_IMAGE_PIXELS"
            )
        if pixels < _LARGE_PIXELS:
            return use(image)
        with _turns.lock:
            return use(image)
    except Exception as error:
        raise undecodable(error) from error


def _upright_rgb(image: Image.Image, data: bytes, background: Color) -> tuple[Image.Image, int]:
    has_high_bytes = _deep_tiles(image)
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation not in range(1, 9):  # not turned by Pillow
        orientation = 1
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != "RGB" or image.has_transparency_data:
        return to_rgb(image, background), orientation
    image.load()
    # Of 16-bit colour, Pillow keeps the high bytes. If 14 bits hold it, they are all dark.
    extrema: Any = image.getextrema() if has_high_bytes else ()
    if extrema and max(high for _, high in extrema) < 64:
        low = open_image(BytesIO(data))
        low.tile = _deep_tiles(low)  # type: ignore[attr-defined]
        ImageOps.exif_transpose(low, in_place=True)
        _scale_deep_rgb(image, low)
    return image, orientation  # to_rgb would copy it


def _scale_deep_rgb(high: Image.Image, low: Image.Image) -> None:
    """Write colours of more than 8 bits, given by their bytes, to the image of the high ones."""

    def numbers(box: tuple[int, int, int, int]) -> NDArray[Any]:
        upper = np.asarray(high.crop(box)).astype(np.uint16) << 8
        return np.asarray(upper + np.asarray(low.crop(box)))

    strips = list(_strips(high))
    bits = max((int(numbers(strip).max()).bit_length() for strip in strips), default=0)
    for strip in strips:
        high.paste(Image.fromarray(to_8_bits(numbers(strip), bits)), strip)


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of strips of an image: work on all of it at once would double the memory."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(image.height, top + rows)


def _deep_tiles(image: Image.Image) -> list[Any]:
    """Return the tiles that give the low bytes of 16-bit RGB; none for other images."""
    tiles = []
    for tile in getattr(image, "tile", ()):
        mode, *others = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
        if mode not in _LOW_BYTES:
            return []
        low = _LOW_BYTES[mode]
        tiles.append(tile._replace(args=(low, *others) if others else low))
    return tiles


def _deep_grey(image: Image.Image, background: Color) -> Image.Image:
    numbers = np.asarray(image)
    if image.mode == "F" or numbers.min(initial=0) < 0 or numbers.max(initial=0) > 65535:
        raise DataError(
            f"pixels of mode {image.mode!r} have no fixed brightness; convert them to 8 bits"
        )
    bits = 0
    if image.format == "PPM":  # Pillow has scaled it from the range that the file states
        bits = 16
    elif isinstance(stated := getattr(image, "tag_v2", {}).get(_TIFF_BITS), tuple):
        bits = min(16, stated[0]) % 16  # 16 is the size of the container
    rgb = Image.fromarray(to_8_bits(numbers, bits)).convert("RGB")
    clear = image.info.get("transparency")
    if isinstance(clear, int) and (numbers == clear).any():
        rgb.paste(rgb_color(background), mask=Image.fromarray(numbers == clear))
    return rgb


def _on_background(image: Image.Image, background: Color) -> Image.Image:
    """Lay an image on a colour, a strip at a time."""
    rgb = Image.new("RGB", image.size, rgb_color(background))
    for box in _strips(image):
        strip = image.crop(box)
        if strip.mode == "La":
            strip = strip.convert("LA")
        strip = strip.convert("RGBA")
        rgb.paste(strip, box[:2], mask=strip)
    return rgb


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
    source = open_image(BytesIO(data))
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
