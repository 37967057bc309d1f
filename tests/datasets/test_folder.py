"""A folder with a split in TSV or COCO format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rexkit.datasets import CocoDataset, TSVDataset, folder_dataset
from rexkit.errors import DataError
from rexkit.formats import TSVWriter, encode_image

CUP = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "train" / "a.jpg")
    names = ["a.jpg", "missing.jpg"]
    data = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names, 1)],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "dog"}],
        "annotations": [CUP],
    }
    (tmp_path / "train.json").write_text(json.dumps(data))
    return tmp_path


def test_coco_json_with_its_images(coco):
    dataset = folder_dataset(coco, "train", exhaustive=True)
    assert isinstance(dataset, CocoDataset)
    assert dataset[0].annotation.boxes("cup").tolist() == [[1, 1, 10, 10]]
    assert list(dataset[0].annotation.absent) == ["dog"]
    with pytest.raises(DataError, match=r"missing\.jpg"):
        dataset[1]
    skipping = folder_dataset(coco, "train", on_error="skip")
    assert (len(skipping), len(skipping.skipped)) == (1, 1)


def test_tsv_files_come_first(coco):
    names = ("images.tsv", "annotations.tsv", "annotations.tsv.lineidx")
    with TSVWriter(*(coco / f"train.{name}" for name in names)) as writer:
        writer.write(encode_image(Image.new("RGB", (9, 9))), {"boxes": []})
        writer.commit()
    dataset = folder_dataset(coco, "train")
    assert isinstance(dataset, TSVDataset)
    assert len(dataset) == 1


def test_a_folder_with_neither_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither val\.images\.tsv nor val\.json"):
        folder_dataset(tmp_path, "val")
