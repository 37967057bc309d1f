"""LVIS JSON: what was looked for where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import LvisDataset
from rexkit.errors import DataError
from rexkit.metrics import LvisAP
from rexkit.structures import Prediction
from rexkit.tasks import GroundingTask


@pytest.fixture
def lvis(tmp_path: Path) -> dict[str, Any]:
    """Two images as LVIS v1 names them, four categories."""
    (tmp_path / "train2017").mkdir()
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / "train2017" / name)
    size = {"width": 64, "height": 48}

    def image(number: int, negative: list[int], partly: list[int]) -> dict[str, Any]:
        return {
            "id": number,
            "coco_url": f"http://images.cocodataset.org/train2017/{number}.jpg",
            "neg_category_ids": negative,
            "not_exhaustive_category_ids": partly,
            **size,
        }

    def annotation(number: int, image: int, category: int) -> dict[str, Any]:
        outline = [[1, 2, 9, 2, 9, 8]]
        known = {"bbox": [1, 2, 8, 6], "area": 24.0, "segmentation": outline}
        return {"id": number, "image_id": image, "category_id": category, **known}

    return {
        "images": [image(1, [3], [2]), image(2, [], [])],
        "annotations": [annotation(1, 1, 1), annotation(2, 1, 2), annotation(3, 2, 1)],
        "categories": [
            {"id": 1, "name": "baby_buggy", "frequency": "c"},
            {"id": 2, "name": "fig_(fruit)", "frequency": "r"},
            {"id": 3, "name": "cup", "frequency": "f"},
            {"id": 4, "name": "zebra", "frequency": "f"},
        ],
    }


def write(folder: Path, data: Any, **options: Any) -> LvisDataset:
    (folder / "lvis.json").write_text(json.dumps(data))
    return LvisDataset(folder / "lvis.json", **options)


def test_what_is_known_of_a_image(tmp_path: Path, lvis: dict[str, Any]) -> None:
    dataset = write(tmp_path, lvis)
    annotation = dataset[0].annotation
    buggy, fig = annotation.instances
    assert (buggy.phrase, buggy.extra["frequency"]) == ("baby buggy", "c")
    assert "not_exhaustive" not in buggy.extra
    assert (fig.phrase, fig.extra["frequency"]) == ("fig (fruit)", "r")
    assert fig.extra["not_exhaustive"] is True
    assert fig.extra["area"] == 24.0
    assert list(annotation.absent) == ["cup"]
    assert list(dataset[1].annotation.absent) == []
    assert "train2017/2.jpg" in dataset[1].source


def test_it_reaches_the_metric_through_a_task(tmp_path: Path, lvis: dict[str, Any]) -> None:
    metric = LvisAP()
    for sample in map(write(tmp_path, lvis).__getitem__, range(2)):
        example = GroundingTask().example(sample, np.random.default_rng(0), training=False)
        metric.add(Prediction((64, 48), example.target.instances), example.target)
    values = metric.compute()
    assert values["ap_rare[score=constant]"] == pytest.approx(1.0)
    assert values["ap_common[score=constant]"] == pytest.approx(1.0)
    assert values["ap_frequent[score=constant]"] == -1.0
    state = metric.state()
    assert state["targets"][:, 8].tolist() == [0, 1, 0]
    assert state["phrases"][state["negatives"][:, 1].astype(int)].tolist() == ["cup"]


@pytest.mark.parametrize("field", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_an_image_without_the_fields(tmp_path: Path, lvis: dict[str, Any], field: str) -> None:
    del lvis["images"][0][field]
    with pytest.raises(DataError, match=f"no list '{field}'.*CocoDataset"):
        write(tmp_path, lvis)[0]
    assert len(write(tmp_path, lvis, on_error="skip").skipped) == 1


def test_unknown_negative(tmp_path: Path, lvis: dict[str, Any]) -> None:
    lvis["images"][0]["neg_category_ids"] = [99]
    with pytest.raises(DataError, match="unknown category 99"):
        write(tmp_path, lvis)[0]


def test_names_that_fall_together(tmp_path: Path, lvis: dict[str, Any]) -> None:
    lvis["categories"][3]["name"] = "baby buggy"
    with pytest.raises(DataError, match="two categories are called 'baby buggy'"):
        write(tmp_path, lvis)
