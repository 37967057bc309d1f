"""The same file gives the same pixels in training, in a test and with `Predictor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from rexkit.backends import Backend, Generation, Request
from rexkit.evaluation.evaluator import evaluate
from rexkit.examples import build_examples
from rexkit.inference.predictor import Predictor
from rexkit.models import TinyVLM

BUDGETS = ((3136, 28 * 28 * 12), (3136, 28 * 28 * 300))
KINDS = ("even", "odd sides", "sideways", "grey", "strip", "small")


class Recorder(Backend):
    """Keeps the images of its requests; every response is empty."""

    def __init__(self, image_processor: object = None):
        self.image_processor = image_processor
        self.images: list[Image.Image] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.images += [request.image for request in requests]
        return [Generation("", [1], 10, 0.1, False) for _ in requests]


def written(kind: str, folder: Path) -> Path:
    """Write a JPEG with detail of every scale, at about three times the smaller budget's size."""
    width, height = {
        **{"odd sides": (385, 641), "strip": (1100, 40), "small": (60, 31), "even": (1280, 960)}
    }.get(kind, (640, 426))
    rng = np.random.default_rng(0)
    layers = [
        Image.fromarray(rng.integers(0, 255, (-(-height // s), -(-width // s), 3), np.uint8))
        for s in (1, 3, 9, 40)
    ]
    pixels = np.mean([layer.resize((width, height)) for layer in layers], axis=0)
    image = Image.fromarray(pixels.astype(np.uint8))
    exif = Image.Exif()
    if kind == "sideways":
        exif[0x0112] = 6
    if kind == "grey":
        image = image.convert("L")
    image.save(folder / "a.jpg", quality=90, exif=exif)
    return folder / "a.jpg"


def assert_same_pixels(path: Path, budget: tuple[int, int], folder: Path) -> None:
    vlm = TinyVLM(None, "qwen2_5_vl", min_pixels=budget[0], max_pixels=budget[1])
    row = {"image": str(path), "boxes": [{"bbox": [1, 1, 9, 9], "phrase": "cup"}]}
    (folder / "rows.jsonl").write_text(json.dumps(row))
    cfg = dict(
        dataset=dict(type="JsonlDataset", ann_file=str(folder / "rows.jsonl")),
        task=dict(type="GroundingTask"),
    )
    train = build_examples(cfg, "train_data", 0, training=True)
    trained = vlm.encoder.examples([train[0]])["pixel_values"]

    recorder = Recorder()
    evaluate(recorder, build_examples(cfg, "test_data", 0, training=False))
    [image] = recorder.images
    tested = vlm.encoder.questions([image], ["Detect cup."])["pixel_values"]

    recorder = Recorder(vlm.processor.image_processor)
    for source in (str(path), path.read_bytes()):
        Predictor("none", recorder).predict(source, categories="cup")
    predicted = [
        vlm.encoder.questions([i], ["Detect cup."])["pixel_values"] for i in recorder.images
    ]

    with Image.open(path) as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB")
    stock = vlm.processor.image_processor(images=[upright], return_tensors="pt")["pixel_values"]
    for pixels in (tested, *predicted):
        assert pixels.shape == trained.shape
        assert (pixels == trained).all()
    np.testing.assert_allclose(trained, stock, rtol=0, atol=1e-6)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_test_and_predictor_have_the_same_pixels(kind, budget, tmp_path):
    assert_same_pixels(written(kind, tmp_path), budget, tmp_path)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(
    "name", ["keypoints/animal_animalpose/images/ho105.jpeg", "ocr/icdar2015", "gui/images"]
)
def test_so_they_have_for_real_images(name, budget, shared_data, tmp_path):
    path = shared_data / name
    if path.is_dir():
        path = next(iter(sorted(path.rglob("*.jpg"))))
    assert_same_pixels(path, budget, tmp_path)
