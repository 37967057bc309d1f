"""COCO JSON with a folder of images."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rexkit.datasets import CocoDataset
from rexkit.errors import DataError
from rexkit.formats.coco import is_coco
from rexkit.geometry import decode_mask
from rexkit.registry import DATASETS


@pytest.fixture
def coco(tmp_path: Path) -> dict[str, Any]:
    """Two images, three categories; the second image has nothing on it."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 64, "height": 48},
            {"id": 2, "file_name": "b.png"},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 3,
                "bbox": [1, 2, 3, 4],
                "area": 12,
                "iscrowd": 0,
                "segmentation": [[1, 2, 4, 2, 4, 6]],
                "keypoints": [1, 2, 2],
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 1,
                "bbox": [0, 0, 64, 48],
                "iscrowd": 1,
                "segmentation": {"size": [48, 64], "counts": [0, 64 * 48]},
            },
        ],
        "categories": [
            {"id": 1, "name": "cup"},
            {"id": 3, "name": "dog"},
            {"id": 4, "name": "cat"},
        ],
    }


def write(folder: Path, data: Any, **options: Any) -> CocoDataset:
    path = folder / "coco.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return CocoDataset(path, **options)


def test_fields(tmp_path: Path, coco: dict[str, Any]) -> None:
    dataset = write(tmp_path, coco)
    assert len(dataset) == 2
    sample = dataset[0]
    assert sample.source == f"{tmp_path / 'coco.json'}: image 7 (a.png)"
    assert sample.image.size == (64, 48)
    dog, cup = sample.annotation.instances
    assert (dog.phrase, dog.ignore) == ("dog", False)
    assert dog.bbox is not None
    assert dog.bbox.tolist() == [1, 2, 4, 6]
    assert dog.polygon is not None
    assert dog.polygon.tolist() == [[1, 2], [4, 2], [4, 6]]
    assert dog.extra == {"id": 1, "area": 12, "keypoints": [1, 2, 2]}
    assert (cup.phrase, cup.ignore) == ("cup", True)
    assert cup.mask is not None
    assert decode_mask(cup.mask).all()
    assert dataset[1].annotation.phrases == []


@pytest.mark.parametrize(
    ("marks", "ignored"),
    [
        ({"ignore": 1}, True),
        ({"ignore": 1, "iscrowd": 0}, True),
        ({"ignore": 0, "iscrowd": 1}, True),
        ({"ignore": False, "iscrowd": None}, False),
        ({}, False),
    ],
)
def test_ignore_and_iscrowd(
    tmp_path: Path, coco: dict[str, Any], marks: dict[str, Any], ignored: bool
) -> None:
    del coco["annotations"][0]["iscrowd"]
    coco["annotations"][0].update(marks)
    assert write(tmp_path, coco)[0].annotation.instances[0].ignore is ignored


@pytest.mark.parametrize(
    ("images", "annotations"),
    [([7, 2], ["7", "7"]), (["7", "2"], [7, 7]), ([7, 2], ["007", 7.0]), (["007", "2"], ["7", 7])],
)
def test_ids_that_differ_in_type_only(
    tmp_path: Path, coco: dict[str, Any], images: list[Any], annotations: list[Any]
) -> None:
    for image, number in zip(coco["images"], images, strict=True):
        image["id"] = number
    for annotation, number in zip(coco["annotations"], annotations, strict=True):
        annotation.update(image_id=number, category_id=str(annotation["category_id"]))
    dataset = write(tmp_path, coco, exhaustive=True)
    assert [s.annotation.phrases for s in dataset] == [["dog", "cup", "cat"], ["cup", "dog", "cat"]]
    assert len(dataset[0].annotation.boxes()) == 2


def test_ids_that_are_in_the_file_mean_themselves(tmp_path: Path, coco: dict[str, Any]) -> None:
    coco["images"][0]["id"], coco["images"][1]["id"] = 7, "7"
    coco["annotations"][0]["image_id"] = "7"
    assert [len(s.annotation.instances) for s in write(tmp_path, coco)] == [1, 1]
    coco["annotations"][1]["image_id"] = "07"  # which of the two is not known
    with pytest.raises(DataError, match="image 07: 1 annotations name this image"):
        list(write(tmp_path, coco))


def test_boxes_that_are_missing_or_turned_are_around_the_outline(
    tmp_path: Path, coco: dict[str, Any]
) -> None:
    outlines: list[Any] = [
        [[1, 2, 4, 2, 4, 6], [9, 9, 12, 9, 12, 20]],
        {"size": [48, 64], "counts": [48 * 3 + 5, 10, 48 * 64 - 48 * 3 - 15]},
    ]
    for outline, box in zip(outlines, ([1, 2, 12, 20], [3, 5, 4, 15]), strict=True):
        for change in ({"bbox": None}, {"bbox": [1, 2, 3, 4], "rotation": 45}):
            annotation = {**coco["annotations"][0], "segmentation": outline, **change}
            data = {**coco, "annotations": [annotation]}
            assert write(tmp_path, data)[0].annotation.boxes("dog").tolist() == [box]
    whole_turn = {**coco, "annotations": [{**coco["annotations"][0], "rotation": 360.0}]}
    assert write(tmp_path, whole_turn)[0].annotation.boxes("dog").tolist() == [[1, 2, 4, 6]]


def test_a_supercategory_without_annotations_is_not_asked_for(
    tmp_path: Path, coco: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for category in coco["categories"]:
        category["supercategory"] = "things"
    coco["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    dataset = write(tmp_path, coco, exhaustive=True)
    assert list(dataset[0].annotation.absent) == ["cat"]
    assert "'things' only groups others" in caplog.text
    # With an annotation it is a category like any other, and so is one that is its own group.
    coco["annotations"][0]["category_id"] = 0
    assert "things" in write(tmp_path, coco, exhaustive=True)[1].annotation.absent
    for category in coco["categories"]:
        category["supercategory"] = category["name"]
    assert "things" in write(tmp_path, coco, exhaustive=True)[1].annotation.absent


def test_nothing_is_asked_of_unlabelled_frames_of_posetrack(
    tmp_path: Path, coco: dict[str, Any]
) -> None:
    coco["images"][1]["is_labeled"] = False
    dataset = write(tmp_path, coco, exhaustive=True)
    assert (list(dataset[0].annotation.absent), dataset[1].annotation.phrases) == (["cat"], [])


@pytest.mark.parametrize("name", [["cup"], {}, 5, None])
def test_a_category_without_a_name_costs_its_own_rows(
    tmp_path: Path, coco: dict[str, Any], name: Any
) -> None:
    coco["categories"][0]["name"] = name
    dataset = write(tmp_path, coco, exhaustive=True, on_error="skip")
    assert "category 1 must have a name, a string" in dataset.skipped[0].reason
    assert [s.annotation.phrases for s in dataset] == [["dog", "cat"]]


def test_boxes_of_another_format(tmp_path: Path, coco: dict[str, Any]) -> None:
    boxes = {
        form: write(tmp_path, coco, box_format=form)[0].annotation.boxes("dog").tolist()
        for form in ("xyxy", "cxcywh")
    }
    assert boxes == {"xyxy": [[1, 2, 3, 4]], "cxcywh": [[0, 0, 2.5, 4]]}


def test_absent_categories_only_where_all_were_looked_for(
    tmp_path: Path, coco: dict[str, Any]
) -> None:
    assert not write(tmp_path, coco)[0].annotation.absent
    dataset = write(tmp_path, coco, exhaustive=True)
    assert list(dataset[0].annotation.absent) == ["cat"]
    assert list(dataset[1].annotation.absent) == ["cup", "dog", "cat"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [70, 2, 9, 4]}, r"\(id 1\) 'dog': bbox \[70, 2, 9, 4\] lies outside"),
        ({"bbox": [1, 2, 3]}, "must be 4 numbers"),
        ({"bbox": [1, 2, "3", "4"]}, "must be 4 numbers"),
        ({"bbox": [1, 2, None, 4]}, "must be 4 numbers"),
        ({"bbox": [1, 2, math.nan, 4]}, "not finite"),
        ({"bbox": [9, 2, -3, 4]}, r"bbox \[9, 2, -3, 4\] has a negative width or height"),
        ({"category_id": 9}, "annotation 1 has the category_id 9, which is none"),
        ({"category_id": "x"}, "annotation 1 has the category_id 'x', which is none"),
        ({"category_id": [1]}, r"annotation 1 has the category_id '\[1\]', which is none"),
        ({"image_id": {}}, "image {}: 1 annotations"),
        ({"bbox": None, "segmentation": []}, "annotation 1 has keypoints but no bbox; add the box"),
        ({"bbox": [], "keypoints": [], "segmentation": []}, "annotation 1 has no bbox; add the"),
        ({"rotation": 30, "segmentation": []}, "annotation 1 is rotated by 30 degrees"),
        ({"attributes": {"rotation": 7.5}, "segmentation": None}, "is rotated by 7.5 degrees"),
        ({"bbox": [1, 2, 3, 4, 30]}, "must be 4 numbers; write a rotated box as a polygon"),
        ({"bbox": [1, 2, 3, 2, 3, 4, 1, 4]}, "must be 4 numbers; write a rotated box as a polygon"),
        ({"ignore": "yes"}, "ignore must be bool, got 'yes'"),
        ({"image_id": 99}, "1 annotations name this image, 'images' does not"),
    ],
)
def test_rows_that_cannot_be_used(
    tmp_path: Path, coco: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    coco["annotations"][0].update(change)
    dataset = write(tmp_path, coco)
    with pytest.raises(DataError, match=reason) as caught:
        list(dataset)
    assert caught.value.source.startswith(f"{tmp_path / 'coco.json'}: image ")
    rest = write(tmp_path, coco, on_error="skip")
    assert len(rest.skipped) == 1
    assert len(rest) == len(dataset) - 1


def test_an_image_of_another_size(tmp_path: Path, coco: dict[str, Any]) -> None:
    coco["images"][0].update(width=48, height=64)
    with pytest.raises(DataError, match=r"48x64, this one has 64x48 .*EXIF"):
        write(tmp_path, coco)[0]


def test_boxes_are_those_of_the_upright_image(tmp_path: Path, coco: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save(tmp_path / "a.png", exif=exif)
    assert write(tmp_path, coco)[0].image.size == (64, 48)


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
@pytest.mark.parametrize("entry", [5, {}, {"id": {}, "name": "x", "file_name": "a.png"}])
def test_entries_that_cannot_be_used_are_skipped(
    tmp_path: Path, coco: dict[str, Any], name: str, entry: Any
) -> None:
    usable = len(write(tmp_path, coco, on_error="skip"))
    coco[name].append(entry)
    with pytest.raises(DataError, match=rf"{name}\[\d\] has "):
        write(tmp_path, coco)
    rest = write(tmp_path, coco, on_error="skip")
    assert len(rest) == usable
    assert f"{name}[{len(coco[name]) - 1}] has " in str(rest.skipped[0])


def test_a_missing_image(tmp_path: Path, coco: dict[str, Any]) -> None:
    dataset = write(tmp_path, coco, image_dir=tmp_path / "images")
    with pytest.raises(DataError, match=r"cannot read the image .*images/a\.png"):
        dataset[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", "bad JSON"),
        ("[]", "COCO JSON has a list 'images'"),
        ({"images": []}, "a list 'annotations'; this file has none$"),
        ({"images": [], "categories": []}, "a list 'annotations'; this file has none$"),
        ({"images": [{"id": 1}], "annotations": [], "categories": []}, r"images\[0\] has no 'file"),
        ({"images": [3], "annotations": [], "categories": []}, r"images\[0\] has no 'id'"),
        (
            {"images": [], "annotations": [{"image_id": 1}], "categories": []},
            r"annotations\[0\] has no 'category_id'",
        ),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}] * 2},
            "two of 'categories' have the same id, 1",
        ),
        (
            {"images": [], "annotations": [], "categories": [{"id": [1], "name": "a"}]},
            r"categories\[0\] has the id \[1\], which is neither a number nor a string",
        ),
        ('{"images": [], "images": [], "annotations": [], "categories": []}', "'images' twice"),
        (
            [{"data": {"image": "a"}, "annotations": []}],
            "Label Studio.*, which LabelStudioDataset reads",
        ),
        ([{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}], "COCO results"),
    ],
)
def test_what_is_no_coco_file(tmp_path: Path, data: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        write(tmp_path, data)
    assert caught.value.source == str(tmp_path / "coco.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"images": [], "annotations": []}', True),
        ('{\n "images": []\n}', True),
        ('\ufeff{\n "images": []\n}', True),
        ('\ufeff{"images": [], "annotations": []}', True),
        ('{"info": {},\n "images": []}', True),
        ('{"image": "a.png"}\n{"image": "b.png"}\n', False),
        ('{"image_name": "a.png", broken\n', False),
        ('{"licenses": [{"images": 1}], "annotations": [],\n"images": []}', True),
        ('{"messages": [], "images": ["a.png"]}\n{"messages": [], "images": []}', False),
        ('{"messages": [], "images": ["a.png"]}', False),
        ('{"image": "a.png", "note": "{\\"images\\": []}"}', False),
        ('{"categories": [' + "{}, " * 90_000, True),
        ('[{"images": []}]', False),
        ("", False),
    ],
)
def test_formats_are_distinguished(tmp_path: Path, text: str, expected: bool) -> None:
    path = tmp_path / "file"
    path.write_text(text, "utf-8")
    assert is_coco(path) == expected


def test_large_files_are_indexed_at_once(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(2_000)]
    annotations = [
        {"id": i, "image_id": i % 2_000, "category_id": i % 80, "bbox": [1, 2, 3, 4]}
        for i in range(20_000)
    ]
    categories = [{"id": i, "name": f"class {i}"} for i in range(80)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (tmp_path / "coco.json").write_text(text)
    start = time.process_time()
    json.loads(text)
    parsed = time.process_time()
    assert len(CocoDataset(tmp_path / "coco.json")) == 2_000
    # A scan for each image would take hundreds of times as long as parsing.
    assert time.process_time() - parsed < 60 * (parsed - start)


def test_real_blood_cells(shared_data: Path) -> None:
    numbers = {}
    for part in ("train", "val"):
        dataset = DATASETS.build(
            dict(
                type="CocoDataset",
                ann_file=str(shared_data / "bccd" / f"{part}.json"),
                image_dir=str(shared_data / "bccd" / part),
            )
        )
        boxes = [sample.annotation.boxes() for sample in dataset]
        numbers[part] = (len(boxes), sum(map(len, boxes)))
    assert numbers == {"train": (60, 773), "val": (20, 267)}


def test_real_keypoints_stay_in_extra(shared_data: Path) -> None:
    folder = shared_data / "keypoints" / "person"
    dataset = CocoDataset(folder / "annotations.json", folder / "images")
    (person,) = dataset[0].annotation.instances
    assert person.phrase == "person"
    assert len(person.extra["keypoints"]) == 3 * 17
