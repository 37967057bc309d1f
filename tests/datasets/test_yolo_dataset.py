"""YOLO data sets: their layouts, splits and classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import CocoDataset
from rexkit.errors import DataError
from rexkit.registry import DATASETS


@pytest.fixture
def config(tmp_path):
    for split, name in (("train", "a.jpg"), ("train", "deep/b.png"), ("val", "c.jpg")):
        image = tmp_path / "images" / split / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(image)
    labels = tmp_path / "labels" / "train"
    (labels / "deep").mkdir(parents=True)
    (labels / "a.txt").write_text("0 .5 .5 .5 .5\n1 0 0 1 0 1 1\n")
    (labels / "deep" / "b.txt").write_text("1 .5 .5 .5\n")
    path = tmp_path / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnames: [cup, dog, hat]\n")
    return path


def test_a_split(config):
    dataset = DATASETS.build(dict(type="YoloDataset", data=str(config), exhaustive=True))
    assert len(dataset) == 2
    cup, dog = dataset[0].annotation.instances
    assert (cup.phrase, cup.bbox.tolist()) == ("cup", [10, 5, 30, 15])
    assert dog.polygon.tolist() == [[0, 0], [40, 0], [40, 20]]
    assert dog.bbox.tolist() == [0, 0, 40, 20]
    assert dataset[0].annotation.absent == ["hat"]
    with pytest.raises(DataError, match=r"labels/train/deep/b.txt: line 1 has 3 numbers"):
        dataset[1]
    val = DATASETS.build(dict(type="YoloDataset", data=str(config), split="val"))
    assert val[0].annotation.instances == []
    with pytest.raises(DataError, match="no split 'tset'"):
        DATASETS.build(dict(type="YoloDataset", data=str(config), split="tset"))


def test_a_list_of_images_and_a_folder(config):
    (config.parent / "train.txt").write_text("./images/train/a.jpg\n")
    config.write_text("train: train.txt\nnames: [cup, dog]\n")
    assert len(DATASETS.build(dict(type="YoloDataset", data=str(config)))) == 1
    images = config.parent / "images" / "train"
    with pytest.raises(DataError, match="nothing names the classes"):
        DATASETS.build(dict(type="YoloDataset", data=str(images)))
    (config.parent / "classes.txt").write_text("mug\nwolf\n")
    dataset = DATASETS.build(dict(type="YoloDataset", data=str(images)))
    assert dataset[0].annotation.phrases == ["mug", "wolf"]
    with pytest.raises(FileNotFoundError, match="no images"):
        DATASETS.build(dict(type="YoloDataset", data=str(config.parent / "labels"), names=["a"]))


def test_real_labels_are_those_of_the_coco_file(shared_data):
    gui = shared_data / "gui"
    dataset = DATASETS.build(
        dict(
            type="YoloDataset",
            data=str(gui / "images"),
            names=str(gui / "yolo_classes.txt"),
            label_dir=str(gui / "yolo_labels"),
        )
    )
    coco = CocoDataset(gui / "annotations.json", gui / "images")
    expected = {sample.image_path: sample.annotation for sample in coco}
    assert len(dataset) == len(expected) == 20
    for sample in dataset:
        target = expected[sample.image_path]
        assert [i.phrase for i in sample.annotation.instances] == [
            i.phrase for i in target.instances
        ]
        np.testing.assert_allclose(sample.annotation.boxes(), target.boxes(), atol=1e-9)
