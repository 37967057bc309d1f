"""Screenshots from files: ScreenSpot's records, lists of elements, COCO; real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rexkit_plugin_gui import ScreenshotDataset

from rexkit import METRICS, PARSERS, TASK_FNS
from rexkit.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    return tmp_path


def write(folder: Path, text: str, **options) -> ScreenshotDataset:
    (folder / "rows.json").write_text(text)
    return ScreenshotDataset(folder / "rows.json", **options)


SPOT = {
    "img_filename": "a.png",
    "bbox": [42, 10, 97, 70],
    "instruction": "open the menu",
    "data_type": "icon",
    "data_source": "ios",
}


@pytest.mark.parametrize("indent", [None, 1])
def test_screenspot_records(folder, indent):
    shop = {**SPOT, "data_source": "shop", "data_type": "text"}
    dataset = write(folder, json.dumps([SPOT, shop], indent=indent))
    assert len(dataset) == 2
    (element,) = dataset[0].annotation.instances
    assert (element.phrase, element.bbox.tolist()) == ("open the menu", [42, 10, 139, 80])
    assert (element.extra["platform"], element.extra["data_type"]) == ("mobile", "icon")
    (element,) = dataset[1].annotation.instances
    assert (element.extra["platform"], element.extra["data_type"]) == ("web", "text")
    assert dataset[1].source.endswith("rows.json[1]")


def test_screenspot_pro_spells_it_differently(folder):
    pro = {"bbox": [5, 6, 70, 80], "platform": "macos", "ui_type": "text", "application": "x"}
    row = {"img_filename": "a.png", "instruction": "undo", **pro}
    (element,) = write(folder, json.dumps([row]), box_format="xyxy")[0].annotation.instances
    assert element.bbox.tolist() == [5, 6, 70, 80]
    assert (element.extra["platform"], element.extra["data_type"]) == ("desktop", "text")


def test_shares_of_the_image_are_refused_or_read(folder):
    row = {**SPOT, "bbox": [0.25, 0.1, 0.5, 0.6]}
    with pytest.raises(DataError, match="set coordinates='0-1'"):
        write(folder, json.dumps([row]))[0]
    (element,) = write(folder, json.dumps([row]), coordinates="0-1")[0].annotation.instances
    assert element.bbox.tolist() == [50, 10, 150, 70]


ELEMENTS = {
    "image": "a.png",
    "platform": "web",
    "elements": [
        {"bbox": [5, 5, 60, 20], "name": "TextButton", "instruction": "log in"},
        {"bbox_xyxy": [5, 30, 60, 50], "name": "Icon"},
    ],
}


def test_lines_with_several_elements(folder):
    text = f"{json.dumps(ELEMENTS)}\n\n{json.dumps(SPOT)}\n"
    dataset = write(folder, text)
    first, second = dataset[0].annotation.instances
    assert (first.phrase, first.extra["data_type"]) == ("log in", "text")
    assert (second.phrase, second.extra["data_type"]) == ("Icon", "icon")
    assert second.bbox.tolist() == [5, 30, 60, 50]
    assert {first.extra["platform"], second.extra["platform"]} == {"web"}
    assert dataset[1].source.endswith("rows.json:3")
    by_class = write(folder, text, words="name")[0].annotation
    assert by_class.phrases == ["TextButton", "Icon"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "bad JSON"),
        ("3", "must be a JSON object"),
        ('{"bbox": [1, 2, 3, 4]}', "must name its 'image'"),
        ('{"image": "b.png", "elements": []}', "cannot read the image"),
        ('{"image": "a.png", "elements": {}}', "elements must be a list"),
        ('{"image": "a.png", "elements": [3]}', "must be a JSON object"),
        ('{"image": "a.png", "elements": [{"bbox": [1, 2, 3, 4]}]}', "must have a phrase"),
        ('{"image": "a.png", "bbox": [290, 5, 50, 5], "instruction": "x"}', "outside"),
    ],
)
def test_records_that_cannot_be_used(folder, row, reason):
    dataset = write(folder, f"{json.dumps(SPOT)}\n{row}\n")
    with pytest.raises(DataError, match=reason) as error:
        dataset[1]
    assert error.value.source.endswith("rows.json:2")
    left = write(folder, f"{json.dumps(SPOT)}\n{row}\n", on_error="skip")
    assert len(left) == len(left.skipped) == 1


def coco(**fields) -> str:
    return json.dumps(
        {
            "images": [{"id": 7, "file_name": "a.png", "width": 200, "height": 100}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 30, 40]}],
            "categories": [{"id": 2, "name": "EditText"}],
            **fields,
        }
    )


@pytest.mark.parametrize("mark", ["ignore", "iscrowd"])
def test_ignored_elements_of_coco(folder, mark):
    annotation = {"id": 1, "image_id": "7", "category_id": 2, "bbox": [1, 2, 30, 40], mark: 1}
    (element,) = write(folder, coco(annotations=[annotation]))[0].annotation.instances
    assert element.ignore


def test_coco(folder):
    sample = write(folder, coco(), platform="mobile")[0]
    (element,) = sample.annotation.instances
    assert (element.phrase, element.bbox.tolist()) == ("EditText", [1, 2, 31, 42])
    assert (element.extra["platform"], element.extra["data_type"]) == ("mobile", "text")
    stranger = [{"id": 1, "image_id": 8, "category_id": 2, "bbox": [1, 2, 30, 40]}]
    with pytest.raises(DataError, match="does not list image 8"):
        write(folder, coco(annotations=stranger))
    with pytest.raises(DataError, match="must have a phrase"):
        write(folder, coco(categories=[]))[0]


@pytest.mark.parametrize("name", ["GUIGroundingTask", "GUIPointingTask"])
def test_real_screenshots_from_truth_to_score(gui_data, name):
    dataset = ScreenshotDataset(
        gui_data / "annotations.json", gui_data / "images", platform="mobile"
    )
    assert len(dataset) == 20
    assert sum(len(sample.annotation.instances) for sample in dataset) == 354
    task = TASK_FNS.build(dict(type=name, num_categories=None))
    parse = PARSERS.build(task.parser)
    metrics = [METRICS.build(dict(type=m)) for m in task.metrics]
    for sample in dataset:
        example = task.example(sample, np.random.default_rng(0), training=False)
        prediction = parse(example.response, sample.image.size)
        assert not prediction.problems
        bin_size = np.array(sample.image.size) / 999
        for phrase in example.phrases:
            for geometry in ("boxes", "points"):
                predicted = getattr(prediction, geometry)(phrase).reshape(-1, 2)
                if len(predicted):
                    expected = getattr(example.target, geometry)(phrase).reshape(-1, 2)
                    assert np.all(np.abs(predicted - expected) <= bin_size + 1e-9)
        for metric in metrics:
            metric.add(prediction, example.target)
    values = {k: v for metric in metrics for k, v in metric.compute().items()}
    for key in ("", "/mobile", "/text", "/icon", "/mobile/text"):
        assert values[f"click_accuracy{key}"] == 1.0
    if name == "GUIGroundingTask":
        assert values["f1@0.5"] == 1.0
        # Half of the elements are a line of text: a bin of 0.64 pixels costs them an IoU of 0.95.
        assert 0.5 < values["f1@0.95"] < values["f1@0.5:0.95"]
    else:
        assert values["f1"] > 0.95
