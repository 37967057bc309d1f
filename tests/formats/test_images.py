"""Encoded images to RGB and back."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.images import decode_image, image_bytes_to_store, read_image

ORIENTATION = 0x0112


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """An image with a bright top left corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 200, 20)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str = "JPEG") -> bytes:
    """The scene as a camera held that way stores it."""
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = scene() if back is None else scene().transpose(back)
    return encoded(image, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_are_upright(orientation: int, kind: str) -> None:
    image = decode_image(turned(orientation, kind))
    assert image.size == (64, 48)
    assert image.mode == "RGB"
    assert distance(image, scene()) < 3


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = decode_image(encoded(scene().convert(mode), kind))
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    assert pixels[:24, :32].mean() > 100 > pixels[24:, 32:].mean()


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = np.asarray(decode_image(encoded(Image.fromarray(ramp), "PNG")))
    assert pixels[..., 0].ravel().tolist() == list(range(256))


def test_pixels_without_brightness_are_an_error() -> None:
    floats = Image.fromarray(np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match="mode 'F'"):
        decode_image(encoded(floats, "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damaged_images(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert decode_image(data).size == (64, 48)
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(data[: len(data) // 2])


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + b"\0" * 30]
)
def test_no_images(data: bytes) -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(data)


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="decompression bomb"):
        decode_image(encoded(scene()))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jpg \(No such file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 5}])
def test_upright_rgb_jpegs_are_stored_as_they_are(options: dict[str, Any]) -> None:
    data = encoded(scene(), **options)
    assert image_bytes_to_store(data, decode_image(data)) is data
    assert image_bytes_to_store(turned(1), decode_image(turned(1))) == turned(1)


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_jpegs_are_stored_upright(orientation: int) -> None:
    data = turned(orientation)
    stored = image_bytes_to_store(data, decode_image(data))
    with Image.open(BytesIO(stored)) as again:
        assert again.format == "JPEG"
        assert again.getexif().get(ORIENTATION) is None
        assert distance(again.convert("RGB"), scene()) < 3


def test_other_jpegs_become_rgb_jpegs() -> None:
    for mode in ("L", "CMYK"):
        data = encoded(scene().convert(mode))
        stored = image_bytes_to_store(data, decode_image(data))
        with Image.open(BytesIO(stored)) as again:
            assert (again.format, again.mode) == ("JPEG", "RGB")


def test_arithmetic_coding_is_not_kept() -> None:
    data = bytearray(encoded(scene()))
    data[data.index(b"\xff\xc0") + 1] = 0xC9  # few readers know it
    assert image_bytes_to_store(bytes(data), scene()) != data


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_sources_stay_lossless(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (9, 7, 3), np.uint8))
    data = encoded(noise, kind)
    assert distance(decode_image(image_bytes_to_store(data, decode_image(data))), noise) == 0
