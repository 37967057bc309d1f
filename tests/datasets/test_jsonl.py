"""JSONL rows with images in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rexkit.datasets import JsonlDataset
from rexkit.errors import DataError
from rexkit.registry import DATASETS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48), (9, 9, 9)).save(tmp_path / "images" / "a.png")
    return tmp_path


def write(folder: Path, *rows: Any, **options: Any) -> JsonlDataset:
    path = folder / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return JsonlDataset(path, **options)


BOX = {"bbox": [1, 2, 3, 4], "phrase": "杯子"}


def test_rows_of_both_kinds(folder: Path) -> None:
    dataset = write(
        folder,
        {"image_name": "images/a.png", "annotation": {"boxes": [BOX]}},
        "",
        "   ",
        {"image": "images/a.png", "boxes": [BOX], "width": 64, "height": 48},
        {"image": "images/a.png", "label": "cup", "instances": [{"point": [5, 6]}]},
    )
    assert len(dataset) == 3
    assert dataset[0].annotation.boxes("杯子").tolist() == [[1, 2, 3, 4]]
    assert dataset[1].annotation.boxes("杯子").tolist() == [[1, 2, 3, 4]]
    assert dataset[2].annotation.points("cup").tolist() == [[5, 6]]
    assert dataset[2].image.size == (64, 48)
    assert [s.source for s in dataset] == [f"{folder / 'rows.jsonl'}:{n}" for n in (1, 4, 5)]


def test_image_folder_and_box_format_by_argument(folder: Path) -> None:
    rows = folder / "elsewhere.jsonl"
    rows.write_text(json.dumps({"image": "a.png", "boxes": [BOX]}))
    dataset = DATASETS.build(
        dict(
            type="JsonlDataset",
            ann_file=str(rows),
            image_dir=str(folder / "images"),
            box_format="xywh",
        )
    )
    assert dataset[0].annotation.boxes().tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "bad JSON"),
        ("[]", "a row must be a JSON object"),
        ({"boxes": [BOX]}, r"must name its 'image' or 'image_name'; it has \['boxes'\]"),
        ({"image": 3, "boxes": [BOX]}, "must name its 'image'"),
        ({"image": "b.png", "boxes": [BOX]}, r"cannot read the image .*b\.png"),
        ({"image": "images", "boxes": [BOX]}, r"cannot read the image .*images"),
        ({"image": "rows.jsonl", "boxes": [BOX]}, "cannot be decoded"),
        ({"image": "images/a.png"}, "holds none of"),
        ({"image": "images/a.png", "annotation": None}, "must be a JSON object, got None"),
        ({"image": "images/a.png", "annotation": [BOX]}, "must be a JSON object"),
        ({"image": "images/a.png", "boxes": [], "width": 48, "height": 64}, "48x64, this one"),
    ],
)
def test_rows_that_cannot_be_used(folder: Path, row: Any, reason: str) -> None:
    good = {"image": "images/a.png", "boxes": [BOX]}
    dataset = write(folder, good, row, good)
    with pytest.raises(DataError, match=reason) as caught:
        dataset[1]
    assert caught.value.source == f"{folder / 'rows.jsonl'}:2"
    rest = write(folder, good, row, good, on_error="skip")
    assert (len(rest), len(rest.skipped)) == (2, 1)


def test_real_text_spotting_data(shared_data: Path) -> None:
    instances = {}
    for name in ("icdar2015", "sroie", "wildreceipt", "totaltext"):
        dataset = JsonlDataset(shared_data / "ocr" / f"{name}.jsonl")
        instances[name] = [i for sample in dataset for i in sample.annotation.instances]
    numbers = {name: len(found) for name, found in instances.items()}
    assert numbers == {"icdar2015": 52, "sroie": 239, "wildreceipt": 26, "totaltext": 2}
    assert sum(i.ignore for i in instances["icdar2015"]) == 38
    for instance in (i for found in instances.values() for i in found):
        assert instance.bbox is not None
        assert instance.polygon is not None
        assert instance.text is not None
    assert {i.polygon.shape for i in instances["totaltext"]} == {(10, 2)}


def test_real_points(shared_data: Path) -> None:
    dataset = JsonlDataset(shared_data / "pointing" / "points.jsonl")
    points = [sample.annotation.points("nucleus") for sample in dataset]
    assert sum(map(len, points)) == 316
    first = dataset[0].annotation
    assert len(first.boxes()) == len(first.points()) == 71
    assert first.instances[0].extra == {"instance": 1, "area": 119}
