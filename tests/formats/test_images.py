"""Encoded images to RGB and back."""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.errors import ConfigError, DataError
from rexkit.formats.image_sources import open_source
from rexkit.formats.images import (
    decode_image,
    decode_numbers,
    image_bytes_to_store,
    read_image,
    rgb_color,
    stored_size,
    to_rgb,
)

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


def chunk(name: bytes, data: bytes) -> bytes:
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


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


def test_premultiplied_grey_is_laid_on_white() -> None:
    clear = Image.new("LA", (4, 4), (0, 51)).convert("La")
    assert to_rgb(clear).getpixel((0, 0)) == (204, 204, 204)


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = np.asarray(decode_image(encoded(Image.fromarray(ramp), "PNG")))
    assert pixels[..., 0].ravel().tolist() == list(range(256))


def test_transparency_is_laid_on_white_or_the_given_colour() -> None:
    icon = np.zeros((48, 64, 4), np.uint8)
    icon[:24, :32, 3] = 255
    icon[24:, :32, 3] = 51
    for kind in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(Image.fromarray(icon), kind, **options)
        pixels = np.asarray(decode_image(data))
        assert [pixels[y, x].tolist() for y, x in ((0, 0), (40, 0), (0, 40))] == [
            [0, 0, 0],
            [204, 204, 204],
            [255, 255, 255],
        ]
        assert decode_image(data, "#102030").getpixel((40, 0)) == (16, 32, 48)
        assert decode_image(data, [1, 2, 3]).getpixel((40, 0)) == (1, 2, 3)
    assert open_source(icon, background="red").getpixel((40, 0)) == (255, 0, 0)
    palette = encoded(Image.new("P", (4, 4)), "PNG", transparency=0)
    assert decode_image(palette).getpixel((0, 0)) == (255, 255, 255)
    grey = Image.fromarray(np.full((4, 4), 4000, np.uint16))
    grey.info["transparency"] = 4000
    assert to_rgb(grey, "blue").getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(ConfigError, match="background: 'whit' is no colour"):
        rgb_color("whit")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_pixels_are_scaled_by_their_range(bits: int) -> None:
    ramp = (np.arange(256) << (bits - 8)).astype(np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        pixels = np.asarray(decode_image(encoded(Image.fromarray(ramp), kind)))
        assert pixels[..., 1].ravel().tolist() == list(range(256))
    assert np.asarray(open_source(ramp))[..., 2].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("strip", [8, 2**20])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_deep_colour_is_scaled_by_its_range(
    bits: int, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16-bit RGB, which Pillow opens with the high bytes alone."""
    monkeypatch.setattr("rexkit.formats.images._STRIP_PIXELS", strip)
    ramp = (np.arange(192) << (bits - 8)).astype(">u2").reshape(8, 8, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in ramp)
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
    decoded = np.asarray(decode_image(png + chunk(b"IEND", b"")))
    # Neither 12 nor 8 bits are stated, so that the least range that holds the brightest counts.
    assert decoded.ravel().tolist() == list(range(192))
    tags = [(256, 8), (257, 8), (258, 16), (259, 1), (262, 2), (273, 200), (277, 3), (279, 384)]
    entries = b"".join(struct.pack(">HHII", t, 4, 1, v) for t, v in tags if t != 258)
    shorts = struct.pack(">HHII", 258, 3, 3, 150)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 8) + entries[:24] + shorts + entries[24:]
    tiff = tiff.ljust(150, b"\0") + struct.pack(">HHH", 16, 16, 16)
    tiff = tiff.ljust(200, b"\0") + ramp.tobytes()
    assert np.asarray(decode_image(tiff)).ravel().tolist() == list(range(192))


def test_stated_bits_are_the_range_though_the_image_is_dark() -> None:
    packed = bytes([0x3F, 0xF3, 0xFF, 0x00, 0x00, 0x00])  # 1023, 1023, 0, 0 in 12 bits each
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 200), (277, 1), (279, 6)]
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags))
    tiff += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    pixels = np.asarray(decode_image(tiff.ljust(200, b"\0") + packed))
    assert pixels[0, :, 0].tolist() == [63, 63, 0, 0]
    pgm = b"P5 2 1 4095\n" + struct.pack(">HH", 1024, 0)
    assert np.asarray(decode_image(pgm))[0, :, 0].tolist() == [64, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n%%EOF\n",
        b"DDS |\0\0\0" + b"\0" * 120,
        b"BLP2" + b"\0" * 200,
        b"8BPS\0\1" + b"\0" * 40,
        b"\xd7\xcd\xc6\x9a\0\0" + b"\0" * 40,
    ],
)
def test_formats_that_are_not_listed_are_not_opened(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for read in (decode_image, decode_numbers, open_source):
        with pytest.raises(DataError, match="it is none of JPEG, PNG"):
            read(data)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(DataError, match="cannot be decoded"):
        stored_size(tmp_path / "a.jpg")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM"])
def test_corrupted_images_decode_or_are_data_errors(kind: str) -> None:
    """Whatever decoders raise: AVIF, for example, raises RuntimeError."""
    generator = np.random.default_rng(7)
    whole = encoded(Image.fromarray(generator.integers(0, 255, (16, 24, 3), np.uint8)), kind)
    failures = 0
    for _ in range(60):
        data = bytearray(whole)
        for at in generator.integers(0, min(len(data), 200), 4):
            data[at] = generator.integers(256)
        try:
            assert decode_image(bytes(data)).mode == "RGB"
        except DataError:
            failures += 1
    assert failures > (0 if kind != "BMP" else -1)


@pytest.mark.parametrize("path", ["/dev/zero", "a\0b.jpg", "a\udc80b\ud800.jpg", "{fifo}", "{big}"])
def test_paths_that_are_no_image_files(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo, big = tmp_path / "fifo.jpg", tmp_path / "big.jpg"
    os.mkfifo(fifo)
    big.write_bytes(b"12345")
    monkeypatch.setattr("rexkit.formats.images.MAX_FILE_BYTES", 4)
    with pytest.raises(DataError, match="cannot read the image") as caught:
        read_image(Path(path.format(fifo=fifo, big=big)))
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.jpeg", "; there is a.jpg"),
        ("b.jpg", "; there is b.PNG"),
        ("sub\\a.jpg", "; its name has the separators of Windows: write / in their place"),
        ("none/deeper/a.jpg", "; there is no folder {folder}/none"),
        ("c.jpg", ""),
    ],
)
def test_a_missing_image_comes_with_what_may_be_wrong(name: str, hint: str, tmp_path: Path) -> None:
    for file in ("a.jpg", "b.PNG"):
        (tmp_path / file).write_bytes(b"1")
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / name)
    expected = f"(No such file or directory{hint.format(folder=tmp_path)})"
    assert str(caught.value) == f"cannot read the image {tmp_path / name} {expected}"


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rexkit.formats.images._LARGE_PIXELS", 1000)
    at_once: list[int] = []
    running = threading.Semaphore(1)

    def watched(image: Image.Image, background: Any) -> Image.Image:
        at_once.append(int(running.acquire(blocking=False)))
        time.sleep(0.01)
        running.release()
        return image

    monkeypatch.setattr("rexkit.formats.images.to_rgb", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode_image, [encoded(scene().convert("L"), "PNG")] * 6))
    assert at_once == [1] * 6


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
    for most in (1000, 2000):  # Pillow itself only warns up to twice its limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(DataError, match="decompression bomb"):
            decode_image(encoded(scene()))
        with pytest.raises(DataError, match="decompression bomb"):
            decode_numbers(encoded(scene().convert("L"), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48)
    assert decode_image(encoded(scene())).size == (64, 48)


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
