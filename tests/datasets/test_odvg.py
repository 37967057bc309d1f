"""ODVG: rows of detections and of grounded captions, and data sets of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.odvg import read_odvg, to_odvg
from rexkit.instances import extent
from rexkit.registry import DATASETS
from rexkit.structures import Annotation

SIZE = (64, 48)
ROW = {
    "filename": "a.png",
    "height": 48,
    "width": 64,
    "detection": {
        "instances": [
            {"bbox": [2, 2, 9, 9], "label": 0, "category": "dog"},
            {"bbox": [5, 5, 20, 20], "label": 1},
        ]
    },
    "grounding": {
        "caption": "a dog and two cats",
        "regions": [
            {"bbox": [2, 2, 9, 9], "phrase": "a dog", "tokens_positive": [[0, 5]]},
            {"bbox": [[1, 1, 2, 2], [3, 3, 4, 4]], "phrase": ["two", "cats"]},
        ],
    },
}


def read(row, label_map=None):
    record = read_odvg(row, {"0": "dog", "1": "cat"} if label_map is None else label_map)
    return read_record(record, SIZE)


def test_detections_and_regions():
    found = read(ROW)
    assert [i.phrase for i in found.instances] == ["dog", "cat", "a dog", "two cats", "two cats"]
    assert found.boxes("two cats").tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert found.instances[2].extra == {"tokens_positive": [[0, 5]]}
    assert found.extra == {"caption": "a dog and two cats"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"filename": "a"}, "has 'detection' or 'grounding'"),
        ({"detection": []}, "detection must be an object, got"),
        ({"grounding": {"caption": "a"}}, "must be an object with a list 'regions'"),
        ({"detection": {"instances": [], "ignored": 3}}, "ignored must be a list, got 3"),
        ({"detection": {"instances": []}, "absent": [3]}, "absent must be a list of strings"),
        ({"detection": {"instances": [3]}}, r"detection.instances\[0\] must be an object"),
        ({"detection": {"instances": [{"category": "a"}]}}, "has no bbox"),
        ({"detection": {"instances": [{"bbox": [1, 1, 2, 2], "label": 7}]}}, "label_map has {'0'"),
        ({"grounding": {"regions": [{"bbox": [1, 1, 2, 2], "phrase": 7}]}}, "must be a string"),
        (
            {"detection": {"instances": [{"bbox": [1, 1, 2, 2], "label": 0, "category": "cat"}]}},
            "of the category 'cat', and label_map says that its label 0 is 'dog'",
        ),
    ],
)
def test_rows_that_cannot_be_used(row, message):
    with pytest.raises(DataError, match=message):
        read(row)


@given(annotations())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(annotation):
    labels = {phrase: number for number, phrase in enumerate(annotation.phrases)}
    for grounding in (False, True):
        row = json.loads(json.dumps(to_odvg(annotation, "a.png", labels, grounding)))
        found = read_record(read_odvg(row, {}), annotation.image_size)
        boxes = [extent(i) for i in annotation.instances]
        kept = [
            i
            for i, box in zip(annotation.instances, boxes, strict=True)
            if not np.isnan(box).any() and (i.bbox is not None or (box[2:] > box[:2]).any())
        ]
        kept.sort(key=lambda i: i.ignore)
        for one, other in zip(kept, found.instances, strict=True):
            np.testing.assert_allclose(other.bbox, extent(one), atol=1e-9)
            other.bbox = one.bbox
        assert plain(Annotation(SIZE, kept, annotation.absent)) == plain(
            Annotation(SIZE, found.instances, found.absent)
        )


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    (tmp_path / "train.jsonl").write_text(json.dumps(ROW) + '\n{"filename": "a.png"}\n')
    (tmp_path / "my_label_map.json").write_text('{"0": "dog", "1": "cat", "2": "cow"}')
    return tmp_path


def test_a_data_set_with_its_label_map(folder):
    config = dict(type="OdvgDataset", ann_file=str(folder / "train.jsonl"))
    dataset = DATASETS.build(config | dict(exhaustive=True))
    assert dataset[0].annotation.phrases == ["dog", "cat", "a dog", "two cats", "cow"]
    with pytest.raises(DataError, match=r"train.jsonl:2: a row of ODVG has 'detection'"):
        dataset[1]
    assert len(DATASETS.build(config | dict(on_error="skip"))) == 1
    (folder / "label_map.json").write_text('["dog", "sheep"]')
    assert DATASETS.build(config)[0].annotation.phrases[1] == "sheep"
    (folder / "label_map.json").write_text('{"a": {}}')
    with pytest.raises(DataError, match=r"label_map.json: a label map is"):
        DATASETS.build(config)


def test_captions_become_grounding_rows(folder):
    regions = {name: value for name, value in ROW.items() if name != "detection"}
    (folder / "train.jsonl").write_text(json.dumps(regions))
    assert main([str(folder), str(folder / "out"), "--to", "odvg", "--workers", "1"]) == 0
    [row] = map(json.loads, (folder / "out" / "annotations.jsonl").read_text().splitlines())
    assert row["filename"] == "images/a.png"
    assert row["grounding"]["caption"] == "a dog and two cats"
    assert row["grounding"]["regions"][0]["tokens_positive"] == [[0, 5]]
    assert not (folder / "out" / "label_map.json").exists()
