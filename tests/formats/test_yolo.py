"""YOLO label files: read, written, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.yolo import is_yolo_config, read_yolo, read_yolo_config, to_yolo
from rexkit.instances import extent

NAMES = {0: "cup", 1: "dog"}


def test_a_line_is_a_box_a_polygon_or_a_box_with_keypoints():
    box, scored, polygon, turned = read_yolo(
        "0 .5 .5 .2 .4\n\n1 .5 .5 .2 .4 0.9\n0 0 0 1 0 1 1\n1 .1 .1 .2 .1 .2 .3 .1 .3", NAMES
    )
    assert box == {"phrase": "cup", "bbox": [0.5, 0.5, 0.2, 0.4]}
    assert scored == {"phrase": "dog", "bbox": [0.5, 0.5, 0.2, 0.4], "score": 0.9}
    assert polygon == {
        "phrase": "cup",
        "polygon": [0, 0, 1, 0, 1, 1],
        "bbox_around_outline": True,
    }
    assert len(turned["polygon"]) == 8
    [pose] = read_yolo("0 .5 .5 .2 .4 .5 .5 2 .4 .4 1 0 0 0", NAMES, ["a", "b", "c"])
    assert pose["keypoints"] == {"a": [0.5, 0.5], "b": [0.4, 0.4], "c": None}
    [flat] = read_yolo("0 .5 .5 .2 .4 .5 .5 0 0", NAMES, ["a", "b"], dimensions=2)
    assert flat["keypoints"] == {"a": [0.5, 0.5], "b": None}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 .5 .5 .2 .4", "line 1: 7 is no class"),
        ("0.5 .5 .5 .2 .4", "is no class"),
        ("cup .5 .5 .2 .4", "must be a class number and coordinates"),
        ("0 .5 .5 .2", "has 3 numbers after its class; a box has 4, a polygon 6 or more"),
        ("0 nan .5 .2 .4", "not finite"),
        ("inf .5 .5 .2 .4", "is no class"),
    ],
)
def test_lines_that_cannot_be_read(line, message):
    with pytest.raises(DataError, match=message):
        read_yolo(line, NAMES)
    with pytest.raises(DataError, match="have 10"):
        read_yolo("0 .5 .5 .2 .4", NAMES, ["a", "b"])


@given(annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(annotation):
    names = dict(enumerate(annotation.phrases))
    text = to_yolo(annotation, {phrase: n for n, phrase in names.items()})
    entries = read_yolo(text, names)
    read = read_record({"boxes": entries}, annotation.image_size, "cxcywh", [], [], "0-1")
    kept = [
        i
        for i in annotation.instances
        if i.bbox is not None or i.polygon is not None or (extent(i)[2:] > extent(i)[:2]).all()
    ]
    assert [i.phrase for i in read.instances] == [i.phrase for i in kept]
    for found, given_ in zip(read.instances, kept, strict=True):
        if given_.polygon is not None:
            np.testing.assert_allclose(found.polygon, given_.polygon, atol=1e-6)
        else:
            np.testing.assert_allclose(found.bbox, extent(given_), atol=1e-6)


def test_the_yaml_file(tmp_path):
    (tmp_path / "train" / "images").mkdir(parents=True)
    config = tmp_path / "data.yaml"
    config.write_text(
        "train: ../train/images\nval: [a, b]\nnc: 2\nnames: {1: dog, 0: cup}\npath: /content/set\n"
        "kpt_shape: [2, 3]\n"
    )
    found = read_yolo_config(config)
    assert found.names == {0: "cup", 1: "dog"} == NAMES
    assert found.splits["train"] == [tmp_path / "train/images"]  # Roboflow's own layout
    assert found.splits["val"] == [tmp_path / "a", tmp_path / "b"]
    assert (found.keypoints, found.dimensions) == (["keypoint 1", "keypoint 2"], 3)
    assert is_yolo_config(config)
    config.write_text("train: x\nnames: 5")
    with pytest.raises(DataError, match="names must be a list of names"):
        read_yolo_config(config)
    config.write_text("train: x\nnames: !!python/object/apply:os.getcwd []")
    with pytest.raises(DataError, match="this is not YAML"):
        read_yolo_config(config)
