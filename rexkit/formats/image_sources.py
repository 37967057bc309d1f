"""Images from files, URLs, bytes, arrays and Pillow images."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any, TypeAlias
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.images import Color, decode_image, read_image, to_8_bits, to_rgb

ImageSource: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any]
"""A path, a URL, an encoded image, an array (height, width[, channels]) or a Pillow image."""

URL_SECONDS = 30
URL_BYTES = 256 * 2**20


def open_source(
    source: ImageSource, allow_urls: bool = False, background: Color = "white"
) -> Image.Image:
    """Open an image in RGB, in its own size.

    Files, bytes and URLs are turned upright by their EXIF orientation: coordinates refer to the
    upright image. An array or a Pillow image is used as it is, since its owner draws on those
    pixels. Of an animated image the first frame is used, of a Pillow image the current one.

    Args:
        source: arrays are uint8, uint16 or bool, grey, RGB or RGBA.
        allow_urls: whether text that begins with ``http://`` or ``https://`` is fetched.
        background: the colour behind transparent pixels.

    Raises:
        DataError: it is none of these, or cannot be read or decoded; the message says why.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        if not allow_urls:
            raise DataError("it is a URL; to fetch it, set allow_urls=True")
        return decode_image(fetch(source), background)
    if isinstance(source, (str, Path)):
        return decode_image(read_image(Path(source)), background)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode_image(bytes(source), background)
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if not isinstance(source, Image.Image):
        raise DataError(
            f"an image is a path, URL, bytes, numpy array or Pillow image, not {source!r}"
        )
    return to_rgb(source, background)


def describe_source(source: Any) -> str:
    """Return the name of an image for messages and records: its path or URL, or what it is.

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
    """Fetch an http or https URL, up to 256 MiB.

    A redirect is followed to public addresses only: a server on the internet must not reach what
    only this machine or its network can.

    Raises:
        DataError: no response within 30 seconds, an error, or more than that.
    """
    try:
        request = Request(url, headers={"User-Agent": "rexkit"})
        with build_opener(_Redirects).open(request, timeout=URL_SECONDS) as response:
            data: bytes = response.read(URL_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise DataError(f"cannot fetch it ({error})") from error
    if len(data) > URL_BYTES:
        raise DataError(f"cannot fetch it (more than {URL_BYTES} bytes)")
    return data


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to addresses that are public, by http and https."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https") or not _is_public(newurl):
            raise URLError(f"it redirects to {newurl}, which is no public address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_public(url: str) -> bool:
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, ValueError):
        return False
    return all(ipaddress.ip_address(str(row[4][0]).partition("%")[0]).is_global for row in found)


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
        array = to_8_bits(array)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise DataError(
            f"pixels of type {array.dtype} have no fixed brightness; convert the array to uint8"
        )
    return Image.fromarray(np.ascontiguousarray(array))
