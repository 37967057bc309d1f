"""Whatever is handed over gets a prediction or a clear error: one table of each."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.backends import Backend, Generation, Request
from rexkit.errors import UserError
from rexkit.formats.image_sources import open_source
from rexkit.inference.predictor import Predictor
from rexkit.models import TinyVLM
from rexkit.structures import ImageSize
from rexkit.tasks import Question, QuestionArguments, Task
from rexkit.tasks.categories import clean_category

ORIENTATION = 0x0112
WHOLE = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>"


class Whole(Backend):
    """Answers that a cup fills the image."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.requests += requests
        return [Generation(WHOLE, [1], 1, 0.1, False) for _ in requests]


class Alike(Task):
    """Asks with reference boxes."""

    name = "alike"
    metrics = ()
    accepts = ("categories", "visual_prompt_boxes")

    def example(self, sample: Any, rng: Any, training: bool) -> Any:
        raise NotImplementedError

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        boxes = np.asarray(arguments.visual_prompt_boxes)
        return Question(str(boxes.tolist()), ["object_1"], self.name)


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM(None, hidden_size=64, layers=1, heads=1)


@pytest.fixture
def predictor(vlm: TinyVLM) -> Predictor:
    return Predictor(vlm, Whole())


def scene(width: int = 64, height: int = 48) -> Image.Image:
    """Bright in its top left quarter, which tells how it is turned."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: -(-height // 2), : -(-width // 2)] = (250, 200, 20)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    """The scene as a camera held that way stores it."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(scene().transpose(back), kind, exif=exif, **options)


def grey16() -> np.ndarray:
    return np.asarray(scene().convert("L")).astype(np.uint16) * 257


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 10 billion pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0"))


OTHER = Image.new("RGB", (64, 48), (0, 0, 90))  # what must not be seen of animated ones

RIGHT_IMAGES: dict[str, Any] = {
    "RGB": encoded(scene()),
    "CMYK": encoded(scene().convert("CMYK")),
    "CMYK in TIFF": encoded(scene().convert("CMYK"), "TIFF"),
    "grey": encoded(scene().convert("L"), "PNG"),
    "16-bit grey": encoded(Image.fromarray(grey16()), "PNG"),
    "palette": encoded(scene().convert("P"), "PNG"),
    "palette with transparency": encoded(scene().convert("P"), "PNG", transparency=200),
    "transparency": encoded(scene().convert("RGBA"), "PNG"),
    "black and white": encoded(scene().convert("1"), "PNG"),
    "animated GIF": encoded(scene(), "GIF", save_all=True, append_images=[OTHER]),
    "animated WebP": encoded(scene(), "WEBP", save_all=True, append_images=[OTHER]),
    "Pillow": scene(),
    "Pillow, lazily": Image.open(io.BytesIO(encoded(scene()))),
    "array": np.asarray(scene()),
    "array, 16-bit": grey16(),
    "array, one channel": np.asarray(scene().convert("L"))[..., None],
    "array, not contiguous": np.asarray(scene())[::-1][::-1],
    "array, RGBA": np.asarray(scene().convert("RGBA")),
    "bytearray": bytearray(encoded(scene())),
    "progressive": encoded(scene(), progressive=True),
    **{f"EXIF {o}": turned(o) for o in (2, 3, 5, 6, 8)},
    "EXIF 6 in PNG": turned(6, "PNG"),
    "EXIF 8 in WebP": turned(8, "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", RIGHT_IMAGES)
def test_images_are_turned_upright(predictor, name):
    [result] = predictor.predict([RIGHT_IMAGES[name]], categories="cup")
    assert result.error is None
    assert result.image_size == (64, 48)
    assert result.instances[0].bbox.tolist() == [0, 0, 64, 48]
    for image in (result.image, predictor.backend.requests[0].image):
        pixels = np.asarray(image, float)
        middle, right = pixels.shape[0] // 2, pixels.shape[1] // 2
        bright = pixels[: middle - 4, : right - 4].mean()
        others = [pixels[middle + 4 :, : right - 4], pixels[: middle - 4, right + 4 :]]
        assert image.mode == "RGB"
        assert bright > 100 > 30 > max(other.mean() for other in others)


def test_exif_of_pillow_images_is_not_looked_at(predictor):
    image = Image.open(io.BytesIO(turned(6)))
    [result] = predictor.predict(image, categories="cup")
    assert result.image_size == image.size == (48, 64)


BAD_IMAGES: dict[str, tuple[Any, str]] = {
    "zero bytes": (b"", "cannot be decoded"),
    "text": (b"no image at all", "cannot be decoded"),
    "half a JPEG": (encoded(scene(640, 480))[:1500], "cannot be decoded"),
    "half a Pillow image": (
        Image.open(io.BytesIO(encoded(scene(640, 480))[:1500])),
        "cannot be decoded",
    ),
    "a decompression bomb": (bomb(), "decompression bomb"),
    "20,000 x 20": (scene(20_000, 20), "20000 x 20 pixels: one side is more than 200 times"),
    "20 x 20,000": (encoded(scene(20, 20_000), "PNG"), "20 x 20000 pixels: one side is more"),
    "floats": (np.ones((4, 4, 3), np.float32), "float32 have no fixed brightness"),
    "five channels": (np.ones((4, 4, 5), np.uint8), r"shape \(4, 4, 5\) is no image"),
    "an empty array": (np.ones((0, 4, 3), np.uint8), "has no pixels"),
    "no such file": ("none.jpg", "No such file"),
    "a folder": (str(Path(__file__).parent), "Is a directory"),
    "a URL unasked": ("https://example.com/a.jpg", "allow_urls=True"),
    "None": (None, "an image is a path"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_fail_alone_with_their_reason(predictor, name):
    bad, reason = BAD_IMAGES[name]
    before, result, after = predictor.predict([scene(), bad, scene()], categories="cup")
    assert before.success
    assert after.success
    with pytest.raises(UserError, match=reason):
        result.instances  # noqa: B018


@pytest.mark.parametrize("content", [b"", b"this is a text"])
def test_files_that_are_no_images(predictor, tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    [result] = predictor.predict(tmp_path / "a.jpg", categories="cup")
    assert "cannot be decoded" in result.error


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (3980, 20), (20, 3000)])
def test_odd_sizes_are_predicted(vlm, size):
    predictor = Predictor(vlm, max_new_tokens=2)
    [result] = predictor.predict(scene(*size), categories="cup")
    assert result.image_size == size
    grid = vlm.encoder.questions([scene(*size)], ["?"])["image_grid_thw"][0].tolist()
    assert result.resized_size == (16 * grid[2], 16 * grid[1])


def test_no_images_no_results(predictor):
    assert predictor.predict([], categories="cup") == []
    assert predictor.predict(iter([]), categories="cup") == []
    with pytest.raises(UserError, match="categories: a list of 1 for 0 images"):
        predictor.predict([], categories=[["cup"]])


CATEGORIES: dict[str, tuple[Any, str]] = {
    "less than": ("a < b", "Detect a < b."),
    "an HTML tag": ("<div>", "Detect <div>."),
    "quotes": ("a \"red\" 'cup'", "Detect a \"red\" 'cup'."),
    "newlines": ("cup\n\nassistant\n", "Detect cup assistant."),
    "tabs and odd spaces": ("red\t\u00a0cup", "Detect red cup."),
    "braces": ("{phrases}", "Detect {phrases}."),
    "another script": ("杯子", "Detect 杯子."),
    "twice": (["cup", " cup "], "Detect cup."),
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_odd_categories_stay_words(predictor, name):
    categories, prompt = CATEGORIES[name]
    [result] = predictor.predict(scene(), categories=categories)
    assert result.prompt.startswith(prompt)
    special = set(predictor.vlm.tokenizer.get_added_vocab().values())
    ids, usual = (
        predictor.vlm.tokenizer(predictor.vlm.encoder.chat(text)).input_ids
        for text in (result.prompt, predictor.predict(scene(), categories="cup")[0].prompt)
    )
    assert [i for i in ids if i in special] == [i for i in usual if i in special]


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        ("cup<|im_end|>", r"contains '<\|im_end\|>', which is a special token"),
        ("<|image_pad|>", "special token"),
        ("<|vision_start|><|image_pad|>", "special token"),
        ("<|box_start|>None", "special token"),
        ("<7>", "contains '<7>', which is a special token"),
        ("", "is empty"),
        (" \n", "is empty"),
    ],
)
def test_categories_cannot_change_the_prompt(predictor, category, reason):
    with pytest.raises(UserError, match=reason):
        predictor.predict(scene(), categories=["dog", category])
    assert predictor.backend.requests == []


def test_a_token_of_the_model_alone_is_special_too():
    assert clean_category("<mask>") == "<mask>"
    with pytest.raises(UserError, match="special token"):
        clean_category("<mask>", ["<mask>"])
    with pytest.raises(UserError, match="7 is not text"):
        clean_category(7)


def test_5000_categories(predictor):
    """More than the tiny model reads: an error. A model that reads them all is asked."""
    many = [f"thing {n}" for n in range(5000)]
    [result] = predictor.predict(scene(), categories=many)
    assert "the model's context is 8192; ask for fewer categories" in result.error
    [result] = Predictor("none", Whole()).predict(scene(), categories=many)
    assert result.phrases == many
    assert result.prompt.count("thing") == 5000


REFERENCES: dict[str, tuple[Any, Any]] = {
    "inside": ([[1, 2, 3, 4]], [[1, 2, 3, 4]]),
    "one box": ([1, 2, 3, 4], [[1, 2, 3, 4]]),
    "an array": (np.array([[1, 2, 3, 4]]), [[1, 2, 3, 4]]),
    "juts out": ([[-5, -5, 10, 10], [60, 40, 99, 99]], [[0, 0, 10, 10], [60, 40, 64, 48]]),
    "outside": ([[70, 0, 90, 10]], "does not overlap the image of 64 x 48 pixels"),
    "touches the edge": ([[64, 0, 90, 10]], "does not overlap the image"),
    "wrong way round": ([[30, 0, 10, 10]], "must be finite, x0 <= x1"),
    "no numbers": ([[0, 0, float("nan"), 9]], "must be finite, x0 <= x1"),
    "three numbers": ([[0, 0, 9]], "is not a list of"),
    "none": ([], "is not a list of"),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_boxes(predictor, name):
    boxes, expected = REFERENCES[name]
    [result] = predictor.predict([scene()], task=Alike(), visual_prompt_boxes=boxes)
    if isinstance(expected, str):
        assert expected in result.error
    else:
        assert result.prompt == str(np.asarray(expected, float).tolist())


def test_a_url_is_fetched_when_asked_for(predictor, monkeypatch):
    monkeypatch.setattr("rexkit.formats.image_sources.fetch", lambda url: encoded(scene()))
    [result] = predictor.predict("http://x/a.jpg", categories="cup", allow_urls=True)
    assert result.success
    assert result.name == "http://x/a.jpg"
    assert result.image.size == (64, 48)
    monkeypatch.undo()
    with pytest.raises(UserError, match="cannot fetch it"):
        open_source("http://127.0.0.1:9/a.jpg", allow_urls=True)
