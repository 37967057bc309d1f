"""Every dataset of image files lays transparent pixels on its ``background``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rexkit.datasets import (
    CocoDataset,
    IcdarDataset,
    JsonlDataset,
    LvisDataset,
    RexOmniEvalDataset,
    TSVDataset,
    folder_dataset,
)
from rexkit.errors import ConfigError
from rexkit.formats import TSVWriter

RED = (255, 0, 0)
NAMES = ("train.images.tsv", "train.annotations.tsv", "train.annotations.tsv.lineidx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clear image in every format of annotations."""
    Image.new("RGBA", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "gt_a.txt").write_text("1,1,9,1,9,9,1,9,word\n")
    (tmp_path / "a.jsonl").write_text('{"image": "a.png", "boxes": []}\n')
    row = {"image_path": "a.png", "dataset_name": "d", "task_name": "t", "gt": {"cup": []}}
    (tmp_path / "eval.jsonl").write_text(json.dumps(row) + "\n")
    image = {"id": 1, "file_name": "a.png", "coco_url": "http://x/a.png", "width": 64, "height": 48}
    image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    known = {"bbox": [1, 2, 8, 6], "area": 48.0, "segmentation": [[1, 2, 9, 2, 9, 8]]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, **known}
    category = {"id": 1, "name": "cup", "frequency": "f", "synonyms": ["cup"]}
    parts = {"images": [image], "annotations": [annotation], "categories": [category]}
    (tmp_path / "train.json").write_text(json.dumps(parts))
    (tmp_path / "train").mkdir()
    Image.new("RGBA", (64, 48)).save(tmp_path / "train" / "a.png")
    (tmp_path / "tsv").mkdir()
    with TSVWriter(*(tmp_path / "tsv" / name for name in NAMES)) as writer:
        writer.write((tmp_path / "a.png").read_bytes(), {"boxes": []})
        writer.commit()
    return tmp_path


DATASETS = {
    "coco": lambda f, **o: CocoDataset(f / "train.json", f, **o),
    "lvis": lambda f, **o: LvisDataset(f / "train.json", f, **o),
    "jsonl": lambda f, **o: JsonlDataset(f / "a.jsonl", **o),
    "icdar": lambda f, **o: IcdarDataset(f, **o),
    "eval": lambda f, **o: RexOmniEvalDataset(f / "eval.jsonl", f, **o),
    "tsv": lambda f, **o: TSVDataset(*(f / "tsv" / name for name in NAMES), **o),
    "folder of tsv": lambda f, **o: folder_dataset(f / "tsv", "train", **o),
    "folder of coco": lambda f, **o: folder_dataset(f, "train", **o),
}


@pytest.mark.parametrize("name", DATASETS)
def test_clear_pixels_are_white_or_of_the_given_colour(folder, name):
    build = DATASETS[name]
    assert build(folder)[0].image.getpixel((40, 30)) == (255, 255, 255)
    assert build(folder, background="red")[0].image.getpixel((40, 30)) == RED
    with pytest.raises(ConfigError, match="background: 'no' is no colour"):
        build(folder, background="no")
