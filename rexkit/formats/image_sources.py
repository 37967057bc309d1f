"""Images as people hand them over: files, URLs, bytes, arrays, Pillow's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.images import UNDECODABLE, read_image, to_rgb, undecodable
from rexkit.formats.scaled_decoding import Fit, decode_fitted, resized

if TYPE_CHECKING:
    from rexkit.structures import ImageSize

ImageSource: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any]
"""A path, a URL, an encoded image, an array (height, width[, channels]) or a Pillow image."""

URL_SECONDS = 30
URL_BYTES = 256 * 2**20


def open_source(
    source: ImageSource, fit: Fit | None = None, allow_urls: bool = False
) -> tuple[Image.Image, ImageSize]:
    """An image in RGB, resized where that is asked for, and its original size.

    Files, bytes and URLs are turned upright by their EXIF orientation: coordinates refer to the
    image as people see it. An array or a Pillow image is taken as it stands, since its owner
    draws on those pixels. Of an animated image the first frame is taken, of a Pillow image the
    current one.

    Args:
        source: arrays are uint8, uint16 or bool, grey, RGB or RGBA.
        fit: the size that is needed, as in `decode_fitted`; left out, the original one.
        allow_urls: whether text that begins with ``http://`` or ``https://`` is fetched.

    Raises:
        DataError: it is nothing of the above, or cannot be read or decoded; the message says why.
    """
    fit = fit or _as_it_is
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        if not allow_urls:
            raise DataError("it is a URL; fetching must be asked for: allow_urls=True")
        return decode_fitted(fetch(source), fit)
    if isinstance(source, (str, Path)):
        return decode_fitted(read_image(Path(source)), fit)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode_fitted(bytes(source), fit)
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if not isinstance(source, Image.Image):
        raise DataError(
            f"an image is a path, URL, bytes, numpy array or Pillow image, not {source!r}"
        )
    needed = fit(source.size)
    try:
        image = to_rgb(source)
    except DataError:
        raise
    except UNDECODABLE as error:
        raise undecodable(error) from error
    return resized(image, needed), source.size


def describe_source(source: Any) -> str:
    """What an image is called in messages and records: its path or URL, or what it is.

    >>> describe_source("a/b.jpg"), describe_source(b"123")
    ('a/b.jpg', '3 bytes')
    """
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source)} bytes"
    if isinstance(source, np.ndarray):
        return f"array {source.shape}"
    name = getattr(source, "filename", "")
    return str(name) if name else type(source).__name__


def fetch(url: str) -> bytes:
    """What an http or https URL answers, up to 256 MiB.

    Raises:
        DataError: no answer within 30 seconds, an error, or more than that.
    """
    try:
        request = Request(url, headers={"User-Agent": "rexkit"})
        with urlopen(request, timeout=URL_SECONDS) as answer:
            data: bytes = answer.read(URL_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise DataError(f"cannot fetch it ({error})") from error
    if len(data) > URL_BYTES:
        raise DataError(f"cannot fetch it (more than {URL_BYTES} bytes)")
    return data


def _as_it_is(size: ImageSize) -> None:
    return None


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise DataError(
            f"an array of shape {array.shape} is no image; it must be (height, width), "
            "(height, width, 3) or (height, width, 4)"
        )
    if not array.size:
        raise DataError(f"an array of shape {array.shape} has no pixels")
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise DataError(
            f"pixels of type {array.dtype} have no fixed brightness; convert the array to uint8"
        )
    return Image.fromarray(np.ascontiguousarray(array))
