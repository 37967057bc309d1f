"""ScreenSpot's lists of instructions: v1, v2 and Pro."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.screenspot import read_screenspot, to_screenspot
from rexkit.instances import extent
from rexkit.registry import DATASETS, FORMATS
from rexkit.structures import Annotation, Instance

SIZE = (64, 48)
ROW = {
    "img_filename": "pc_a.png",
    "bbox": [10, 7, 4, 4],
    "instruction": "close this window",
    "data_type": "icon",
    "data_source": "windows",
}
PRO = {
    "img_filename": "vscode/a.png",
    "bbox": [10, 7, 14, 11],
    "instruction": "close this window",
    "instruction_cn": "关闭",
    "id": "vscode_0",
    "application": "vscode",
    "platform": "windows",
    "img_size": [64, 48],
    "ui_type": "icon",
    "group": "Dev",
}


@pytest.mark.parametrize(
    ("row", "annotations_in", "images"),
    [(ROW, "", "screenspot_imgs"), (ROW, "", "screenspotv2_image"), (PRO, "annotations", "images")],
)
def test_the_published_layouts(row, annotations_in, images, tmp_path):
    file = tmp_path / annotations_in / "screenspot_desktop.json"
    for path in (file, tmp_path / images / row["img_filename"]):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE).save(tmp_path / images / row["img_filename"])
    file.write_text(json.dumps([row]))
    dataset = DATASETS.build(dict(type="ScreenspotDataset", ann_file=str(file)))
    [instance] = dataset[0].annotation.instances
    assert instance.phrase == "close this window"
    assert instance.bbox.tolist() == [10, 7, 14, 11]
    kept = row.keys() - {"img_filename", "bbox", "instruction", "img_size"}
    assert instance.extra.keys() == kept
    name, found, _ = find_format(tmp_path)
    assert name == "screenspot"
    [(split, part)] = found.open(tmp_path, None).items()
    assert (split, len(part.dataset)) == ("", 1)
    assert part.image_root.resolve() == tmp_path / images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"desktop.json\[0\]: bbox must be 4 numbers"),
        ({"bbox": None}, "bbox must be 4 numbers, got None"),
        ({"instruction": 3}, "instruction must be a text, got 3"),
        ({"img_filename": None}, "a row of ScreenSpot names its 'img_filename'"),
        ({"img_size": 3}, r"img_size must be \[width, height\], got 3"),
        ({"img_size": [48, 64]}, "the annotation is for an image of 48x64"),
        ({"bbox": [0.1, 0.2, 0.3, 0.4]}, "coordinates"),
    ],
)
def test_rows_that_cannot_be_used(change, message, tmp_path):
    Image.new("RGB", SIZE).save(tmp_path / "pc_a.png")
    file = tmp_path / "screenspot_desktop.json"
    file.write_text(json.dumps([ROW | change, ROW]))
    config = dict(type="ScreenspotDataset", ann_file=str(file))
    with pytest.raises(DataError, match=message):
        DATASETS.build(config)[0]
    if "0.1" not in str(change):
        assert len(DATASETS.build(config | dict(on_error="skip"))) == 1


@given(annotations())
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(annotation):
    writer = FORMATS.get("screenspot")().writer(None, [""])
    for instance in filter(writer.stores, annotation.instances):
        row = json.loads(json.dumps(to_screenspot(instance, "a.png")))
        [found] = read_record(read_screenspot(row), SIZE).instances
        assert (found.phrase, found.extra) == (instance.phrase, instance.extra)
        np.testing.assert_allclose(found.bbox, extent(instance), atol=1e-9)


def test_real_screens_there_and_back(shared_data, tmp_path):
    source = next((shared_data / "gui").glob("*.json"))
    images = shared_data / "gui" / "images"
    there, back = tmp_path / "there", tmp_path / "back"
    words = ["--link", "--workers", "1"]
    assert (
        main([str(source), str(there), "--to", "screenspot", "--images", str(images), *words]) == 0
    )
    assert main([str(there), str(back), *words]) == 0
    _, coco, _ = find_format(source)
    [split] = coco.open(source, images).values()
    described = map(split.dataset.described, range(len(split.dataset)))
    given_boxes = {image.name: annotation.boxes() for annotation, image in described}
    [lines] = back.glob("*.jsonl")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) == sum(len(boxes) > 0 for boxes in given_boxes.values()) > 10
    for row in rows:
        boxes = [entry["bbox"] for entry in row["boxes"]]
        np.testing.assert_allclose(boxes, given_boxes[row["image"].split("/")[-1]], atol=1e-9)


def test_what_has_no_row_is_counted(tmp_path, capsys):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    ignored = Instance("cup", bbox=[1, 1, 9, 9], ignore=True)
    annotation = Annotation(SIZE, [ignored, Instance("cup", point=[1, 1])], ["dog"])
    from rexkit.formats.annotation_records import to_record

    row = {"image": "a.png", **to_record(annotation)}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert main([str(tmp_path / "a.jsonl"), str(tmp_path / "out"), "--to", "screenspot"]) == 0
    said = capsys.readouterr().err
    for line in ("1 images: without an instruction", "1 ignored instances: left out",
                 "1 absent phrases: left out", "2 instances left out: ignored"):  # fmt: skip
        assert line in said
