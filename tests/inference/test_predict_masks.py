"""Masks as a step on predictions: `Predictor(masks=…)`, ``rexkit predict --masks``, all outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from oracle_masker import OracleMasker, disc
from PIL import Image
from pycocotools import mask as coco_mask

from rexkit.backends import Backend, Generation
from rexkit.cli import main
from rexkit.datasets import JsonlDataset, LabelStudioDataset
from rexkit.errors import DataError
from rexkit.formats.phrase_geometries import decode_annotation
from rexkit.formats.predictions import read_predictions
from rexkit.inference import Predictor, predict_files
from rexkit.maskers import FillMasker
from rexkit.run_lengths import decode_mask, mask_area

SIZE = (60, 40)
BOX = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><100><250><500><750><|box_end|>"
POINT = "<|object_ref_start|>dog<|object_ref_end|><|box_start|><750><500><|box_end|>"
NONE = "<|object_ref_start|>cat<|object_ref_end|><|box_start|>None<|box_end|>"
CUP, DOG = disc(SIZE, 18, 20, 9), disc(SIZE, 45, 20, 6)


class Answers(Backend):
    """Gives some texts in turn."""

    def __init__(self, *texts: str):
        self.texts = iter(texts)

    def generate(self, requests):
        return [Generation(next(self.texts), [1], 1, 0.1, False) for _ in requests]


def predictor(masker: OracleMasker, *texts: str) -> Predictor:
    return Predictor("scripted", Answers(*texts), masks=masker)


def image(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    return Image.fromarray(pixels)


def test_questions_about_one_image_are_one_call_and_empty_predictions_none():
    masker = OracleMasker([CUP, DOG, CUP])
    one, other, empty = image(0), image(1), image(2)
    results = predictor(masker, BOX, POINT, BOX, NONE).predict(
        [one, one, other, empty], categories=[["cup"], ["dog"], ["cup"], ["cat"]]
    )
    assert masker.calls == [["cup", "dog"], ["cup"]]
    assert [[i.mask for i in r.instances] for r in results] == [[CUP], [DOG], [CUP], []]
    assert results[3].prediction.absent == ["cat"]


def test_masks_are_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image(0, SIZE[::-1]).save(tmp_path / "turned.jpg", exif=exif)
    masker = OracleMasker([CUP])
    [result] = predictor(masker, BOX).predict(str(tmp_path / "turned.jpg"), categories="cup")
    assert (result.image_size, masker.sizes) == (SIZE, [SIZE])
    assert decode_mask(result.instances[0].mask).shape == SIZE[::-1]


@pytest.mark.parametrize("on_error", ["record", "raise"])
def test_an_image_that_is_gone_when_masks_are_made(tmp_path, on_error):
    path = tmp_path / "a.png"
    image().save(path)

    class Removes(Answers):
        def generate(self, requests):
            path.unlink()
            return super().generate(requests)

    made = Predictor("scripted", Removes(BOX), masks=OracleMasker([CUP]))
    if on_error == "raise":
        with pytest.raises(DataError, match=r"a\.png"):
            made.predict([str(path)], categories="cup", on_error="raise")
        return
    [result] = made.predict([str(path)], categories="cup")
    assert not result.success
    assert result.prediction is None
    assert result.error


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of predictions with masks: of a box, of a point, and of nothing."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        image(number).save(tmp_path / "in" / f"{number}.png")
    made = predictor(OracleMasker([CUP, DOG]), BOX, POINT, NONE)
    paths = [str(tmp_path / "in" / f"{n}.png") for n in range(3)]
    question = {"task": "detection", "categories": ["cup", "dog", "cat"]}
    assert len([*predict_files(made, paths, tmp_path / "out", question)]) == 3
    return tmp_path / "out"


def test_records_have_the_masks_and_read_them_back_and_drawings_show_them(folder):
    cup, dog, none = read_predictions(folder / "predictions.jsonl")
    assert [i.mask for i in cup.prediction.instances] == [CUP]
    assert [i.mask for i in dog.prediction.instances] == [DOG]
    assert dog.prediction.instances[0].point is not None
    assert not none.prediction.instances
    with Image.open(folder / dog.drawing) as drawn, Image.open(dog.image_path) as plain:
        change = (np.asarray(drawn, int) != np.asarray(plain, int)).any(axis=2)
    assert change[decode_mask(DOG)].mean() > 0.95


@pytest.mark.parametrize(
    ("name", "overlap"),
    [("coco", 1), ("jsonl", 1), ("labelme", 1), ("cvat", 1), ("yolo", 0.95)],
)
def test_other_formats_get_the_masks_of_records(folder, tmp_path, name, overlap):
    target, back = tmp_path / name, tmp_path / "back"
    for source, new, words in ((folder, target, ["--to", name]), (target, back, [])):
        assert main(["convert", str(source), str(new), *words, "--workers", "1"]) == 0
    [file] = back.glob("*.jsonl")
    dataset = JsonlDataset(str(file))
    samples = {Path(s.image_path).name: s for s in map(dataset.__getitem__, range(3))}
    assert not samples["2.png"].annotation.instances
    for number, mask in ((0, CUP), (1, DOG)):
        [instance] = samples[f"{number}.png"].annotation.instances
        if instance.mask is None:
            [instance] = FillMasker()(samples[f"{number}.png"].image, [instance])
        assert coco_mask.iou([instance.mask], [mask], [0])[0, 0] >= overlap


def test_label_studio_gets_the_masks_as_brush_strokes(folder, tmp_path):
    assert main(["convert", str(folder), str(tmp_path / "ls"), "--to", "labelstudio"]) == 0
    dataset = LabelStudioDataset(str(tmp_path / "ls" / "tasks.json"), predictions=True)
    found = [dataset[number].annotation.instances for number in range(3)]
    assert [[i.mask for i in instances] for instances in found] == [[CUP], [DOG], []]


def test_conversions_of_a_result_have_the_mask():
    import supervision

    cup, dog = predictor(OracleMasker([CUP, DOG]), BOX, POINT).predict(
        [image(), image(1)], categories=["cup", "dog"]
    )
    [annotation] = cup.to_coco()["annotations"]
    assert annotation["segmentation"] == CUP
    assert annotation["area"] == mask_area(CUP) == coco_mask.area(annotation["segmentation"])
    [annotation] = dog.to_coco()["annotations"]
    assert annotation["segmentation"] == DOG
    assert annotation["bbox"] == coco_mask.toBbox(DOG).tolist()
    assert {shape["shape_type"] for shape in cup.to_labelme()["shapes"]} == {"mask", "rectangle"}
    for result, mask in ((cup, CUP), (dog, DOG)):
        detections = result.to_supervision()
        assert isinstance(detections, supervision.Detections)
        assert (detections.mask[0] == decode_mask(mask)).all()
        record = json.loads(json.dumps(result.to_dict()))
        [read] = decode_annotation(record["extracted_predictions"], SIZE).instances[:1]
        assert read.mask == mask
        assert (read.bbox is None, read.point is None) == (result is dog, result is cup)


def test_the_command_names_the_mask_maker_and_does_not_mix_runs(tmp_path, capsys):
    image(0, (64, 64)).save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    words += ["--categories", "red square", "--options", "max_new_tokens=24"]
    assert main([*words, "--masks", "FillMasker"]) == 0
    [row] = map(json.loads, (tmp_path / "out" / "predictions.jsonl").open())
    found = [i for values in row["extracted_predictions"].values() for i in values]
    assert all("mask" in instance for instance in found)
    assert main([*words]) == 2
    assert "(masks: {'type': 'FillMasker'}, now None)" in capsys.readouterr().err
    assert main([*words, "--masks", "SAMMask"]) == 2
    assert "error: --masks.type: 'SAMMask' is not in MASKERS" in capsys.readouterr().err
