"""Coordinates that are no pixels of the upright image: told apart, refused, or read by argument."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from PIL import Image, ImageOps

from rexkit.datasets import CocoDataset, JsonlDataset, TSVDataset, folder_dataset
from rexkit.datasets.orientation import turned, upright_size
from rexkit.errors import ConfigError, DataError
from rexkit.formats import to_record
from rexkit.run_lengths import decode_mask, encode_mask
from rexkit.structures import Annotation, Instance

EXIF = 0x0112


def row(folder: Path, size: tuple[int, int], *boxes: Any, orientation: int = 1, **more: Any) -> Any:
    """Write an image, black as stored, and return its row."""
    name = f"{size[0]}x{size[1]}_{orientation}.png"
    exif = Image.Exif()
    exif[EXIF] = orientation
    Image.new("RGB", size).save(folder / name, exif=exif)
    entries = [{"bbox": list(box), "phrase": "cup"} for box in boxes]
    return {"image": name, "boxes": entries, **more}


def jsonl(folder: Path, *rows: Any, **options: Any) -> JsonlDataset:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return JsonlDataset(folder / "rows.jsonl", **options)


SHARES: list[dict[str, Any]] = [
    {"boxes": [{"bbox": [0.1, 0.49, 0.29, 0.84], "phrase": "cup"}]},
    {"boxes": [{"bbox": [0.5, 0.5, 0.2, 0.2], "phrase": "cup"}]},  # centre, width and height
    {"boxes": [{"bbox": [0, 0, 1, 1], "phrase": "cup"}]},
    {"boxes": [{"bbox": None, "phrase": "dog"}, {"bbox_xyxy": [0, 0.5, 1, 1], "phrase": "cup"}]},
    {"points": [{"point": [0.3, 0.7], "phrase": "cup"}, {"point": [1, 1], "phrase": "cup"}]},
    {"polygons": [{"polygon": [[0, 0], [0.5, 0], [1.001, 1]], "phrase": "cup"}]},
    {"instances": [{"keypoints": {"nose": [0.1, 0.2], "left ear": None}, "phrase": "person"}]},
]


@pytest.mark.parametrize("record", SHARES)
def test_coordinates_between_0_and_1_are_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    rows = [{**row(tmp_path, (640, 480)), **record}]
    with pytest.raises(DataError, match=r"rows\.jsonl:1: all coordinates lie between 0 and 1"):
        jsonl(tmp_path, *rows)[0]
    assert jsonl(tmp_path, *rows, coordinates="0-1", box_format="cxcywh")[0].annotation.instances


@pytest.mark.parametrize(
    "record",
    [
        {"boxes": [{"bbox": [0, 0, 1, 2], "phrase": "cup"}]},
        {"boxes": [{"bbox": [0.5, 0.5, 1.5, 0.9], "phrase": "cup"}]},
        {"points": [{"point": [0, 1], "phrase": "cup"}, {"point": [1, 1], "phrase": "cup"}]},
        {"boxes": [{"bbox": [0, 0, 0, 0], "phrase": "cup"}]},
        {"boxes": [{"bbox": None, "phrase": "cup"}]},
    ],
)
def test_small_pixels_are_pixels(tmp_path: Path, record: dict[str, Any]) -> None:
    assert jsonl(tmp_path, {**row(tmp_path, (640, 480)), **record})[0].annotation.phrases


def test_small_coordinates_can_be_pixels(tmp_path: Path) -> None:
    rows = [row(tmp_path, (640, 480), [0.1, 0.2, 0.5, 1])]
    sample = jsonl(tmp_path, *rows, coordinates="pixels")[0]
    assert sample.annotation.boxes().tolist() == [[0.1, 0.2, 0.5, 1]]
    jsonl(tmp_path, row(tmp_path, (4, 4), [0, 0, 1, 1]))[0]  # an image of a few pixels


@pytest.mark.parametrize(
    ("coordinates", "box"),
    [
        ("0-1", [0.25, 0.5, 0.75, 1]),
        ("0-100", [25, 50, 75, 100]),
        ("0-999", [249.75, 499.5, 749.25, 999]),
        ("0-1000", [250, 500, 750, 1000]),
        ("pixels", [160, 240, 480, 480]),
    ],
)
def test_every_geometry_is_scaled(tmp_path: Path, coordinates: Any, box: list[float]) -> None:
    x0, y0, x1, y1 = box
    entry = {
        "phrase": "cup",
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "point": [x0, y0],
        "polygon": [[x0, y0], [x1, y0], [x1, y1]],
        "keypoints": {"nose": [x1, y1], "tail": None},
    }
    rows = [{**row(tmp_path, (640, 480)), "instances": [entry, {**entry, "bbox": None}]}]
    dataset = jsonl(tmp_path, *rows, coordinates=coordinates, box_format="xywh")
    annotation, record = dataset[0].annotation, dataset.stored(0)[1]
    one, other = annotation.instances
    assert one.bbox is not None
    assert one.bbox.tolist() == [160, 240, 480, 480]
    assert one.point.tolist() == [160, 240]
    assert one.polygon.tolist() == [[160, 240], [480, 240], [480, 480]]
    assert one.keypoints["nose"].tolist() == [480, 480]
    assert other.bbox is None
    # What `rexkit convert` stores is in pixels.
    kept = {name: value for name, value in rows[0].items() if name == "image"}
    assert plain(jsonl(tmp_path, {**kept, **record})[0].annotation) == plain(annotation)


def test_coco_and_folders_take_the_arguments(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (640, 480)).save(tmp_path / "train" / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.25, 0.5, 0.5, 0.5]}
    data = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="set coordinates='0-1'"):
        CocoDataset(tmp_path / "train.json", tmp_path / "train")[0]
    dataset = folder_dataset(tmp_path, "train", coordinates="0-1", orientation="stored")
    assert dataset[0].annotation.boxes().tolist() == [[160, 240, 480, 480]]
    assert dataset.stored(0)[1]["boxes"][0]["bbox"] == [160, 240, 480, 480]


FAR = [100, 200, 900, 950]


def test_thousandths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1: 1 rows have .* set coordinates='0-1000'"):
        jsonl(tmp_path, row(tmp_path, (640, 480), FAR))[0]
    with pytest.raises(DataError, match=r"lies outside the image of 640x480; if these are thous"):
        jsonl(tmp_path, row(tmp_path, (640, 480), [800, 500, 900, 950]))[0]
    far = row(tmp_path, (640, 480), FAR)
    near = row(tmp_path, (640, 480), [100, 200, 300, 400])
    with pytest.raises(DataError, match="2 rows have coordinates far outside their image"):
        jsonl(tmp_path, near, far, near, far, on_error="skip")
    dataset = jsonl(tmp_path, near, far, near, far, on_error="skip", coordinates="0-1000")
    assert dataset[1].annotation.boxes().tolist() == [[64, 96, 576, 456]]


def test_thousandths_of_large_images_are_refused(tmp_path: Path) -> None:
    rows = [row(tmp_path, (1200, 90), [10, 10, 400 + 15 * n, 20]) for n in range(40)]
    dataset = jsonl(tmp_path, *rows)
    for index in range(39):
        dataset[index]
    with pytest.raises(DataError, match="40 images are 1200 pixels or more wide or high"):
        dataset[39]
    rows[3]["boxes"][0]["bbox"][2] = 1250
    assert len(list(jsonl(tmp_path, *rows))) == 40


def test_a_few_boxes_that_leave_their_image_are_clamped(tmp_path: Path) -> None:
    near, far = ([row(tmp_path, (640, 480), box)] for box in ([100, 200, 300, 400], FAR))
    dataset = jsonl(tmp_path, *near * 5, *far, *near * 4)
    assert [len(sample.annotation.boxes()) for sample in dataset] == [1] * 10
    assert dataset.clamped_boxes == 1
    beyond = row(tmp_path, (640, 480), [100, 200, 640, 1100])
    assert len(list(jsonl(tmp_path, beyond, *far * 3))) == 4
    again = pickle.loads(pickle.dumps(jsonl(tmp_path, *near * 5, *far)))
    assert len(again[5].annotation.boxes()) == 1


def corner(orientation: int) -> tuple[Image.Image, list[int]]:
    """Return an upright image with one white box, and the box as the stored image has it."""
    stored = np.zeros((40, 60), np.uint8)
    stored[5:15, 10:30] = 255
    exif = Image.Exif()
    exif[EXIF] = orientation
    image = Image.fromarray(stored)
    image.info["exif"] = exif.tobytes()
    return image, [10, 5, 30, 15]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_each_orientation_means(tmp_path: Path, orientation: int) -> None:
    image, (x0, y0, x1, y1) = corner(orientation)
    image.save(tmp_path / "a.png", exif=image.info["exif"])
    mask = encode_mask(np.asarray(image) > 0)
    entry = {
        "phrase": "cup",
        "bbox": [x0, y0, x1, y1],
        "point": [(x0 + x1) / 2, (y0 + y1) / 2],
        "polygon": [x0, y0, x1, y0, x1, y1, x0, y1],
        "keypoints": {"nose": [x0, y0], "left ear": None},
        "mask": mask,
    }
    line = {"image": "a.png", "width": 60, "height": 40, "instances": [entry]}
    dataset = jsonl(tmp_path, line, orientation="stored")
    sample, record, _ = dataset.stored(0)
    (found,) = sample.annotation.instances
    upright = np.asarray(sample.image.convert("L"))
    assert sample.image.size == sample.annotation.image_size == upright_size((60, 40), orientation)
    assert found.bbox is not None
    left, top, right, bottom = found.bbox.astype(int)
    assert upright[top:bottom, left:right].min() == 255
    assert upright.sum() == 255 * (right - left) * (bottom - top)
    assert np.array_equal(decode_mask(found.mask), upright > 0)
    assert found.point.tolist() == [(left + right) / 2, (top + bottom) / 2]
    assert sorted(map(tuple, found.polygon.tolist())) == sorted(
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    )
    nose = Image.fromarray(np.zeros((40, 60), np.uint8))
    nose.putpixel((x0, y0), 255)
    nose.info["exif"] = image.info["exif"]
    y, x = np.argwhere(np.asarray(ImageOps.exif_transpose(nose)))[0]
    assert np.abs(found.keypoints["nose"] - [x + 0.5, y + 0.5]).max() == 0.5  # a pixel's corner
    # What `rexkit convert` stores belongs to the upright image.
    (tmp_path / "b").mkdir()
    sample.image.save(tmp_path / "b" / "a.png")
    again = jsonl(tmp_path / "b", {"image": "a.png", **record})[0]
    assert plain(again.annotation) == plain(sample.annotation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_means_the_turned_image(tmp_path: Path, orientation: int) -> None:
    image, _ = corner(orientation)
    image.save(tmp_path / "a.png", exif=image.info["exif"])
    box = Image.fromarray(np.asarray(ImageOps.exif_transpose(image))).getbbox()
    boxes = [{"bbox": box, "phrase": "cup"}]
    for options in ({}, {"orientation": "upright"}):
        sample = jsonl(tmp_path, {"image": "a.png", "boxes": boxes}, **options)[0]
        x0, y0, x1, y1 = sample.annotation.boxes()[0].astype(int)
        assert np.asarray(sample.image)[y0:y1, x0:x1].min() == 255


@pytest.mark.parametrize(
    ("orientation", "size", "stated", "told"),
    [
        (1, (60, 40), None, False),
        (2, (60, 40), (60, 40), True),
        (3, (60, 40), None, True),
        (4, (60, 40), (60, 40), True),
        (6, (60, 40), None, True),
        (6, (60, 40), (40, 60), False),  # of the upright image
        (8, (40, 40), (40, 40), True),
    ],
)
def test_turned_images_whose_size_does_not_tell_are_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    orientation: int,
    size: tuple[int, int],
    stated: tuple[int, int] | None,
    told: bool,
) -> None:
    sizes = dict(zip(("width", "height"), stated, strict=True)) if stated else {}
    line = row(tmp_path, size, [10, 5, 30, 15], orientation=orientation, **sizes)
    with caplog.at_level(logging.WARNING):
        list(jsonl(tmp_path, line, line, line))
        list(jsonl(tmp_path, line, orientation="upright"))
    messages = [r.message for r in caplog.records if "EXIF orientation" in r.message]
    assert len(messages) == told
    if told:
        assert f"rows.jsonl:1: the image has the EXIF orientation {orientation}" in messages[0]


def test_a_stated_size_that_is_the_stored_one_names_the_argument(tmp_path: Path) -> None:
    line = row(tmp_path, (60, 40), [50, 5, 58, 15], orientation=6, width=60, height=40)
    with pytest.raises(DataError, match=r"60x40, this one has 40x60.*orientation='stored'"):
        jsonl(tmp_path, line)[0]
    assert jsonl(tmp_path, line, orientation="stored")[0].image.size == (40, 60)


@settings(max_examples=25, deadline=None)
@given(annotations())
def test_turning_there_and_back(annotation: Annotation) -> None:
    back = {6: 8, 8: 6}
    for orientation in range(1, 9):
        there = turned(annotation, orientation)
        again = turned(there, back.get(orientation, orientation))
        assert again.image_size == annotation.image_size
        for one, other in zip(annotation.instances, again.instances, strict=True):
            for name in ("bbox", "point", "polygon"):
                a, b = getattr(one, name), getattr(other, name)
                assert (a is None and b is None) or np.abs(a - b).max() < 1e-9
            if one.mask is not None:
                assert (decode_mask(one.mask) == decode_mask(other.mask)).all()


def test_words_for_the_arguments(tmp_path: Path) -> None:
    line = row(tmp_path, (60, 40), [10, 5, 30, 15])
    for name, value, near in (
        ("orientation", "exif", "known are stored, upright"),
        ("coordinates", "0-10", "did you mean"),
        ("box_format", "xyhw", "did you mean 'xywh'"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: '{value}' is not one; {near}"):
            jsonl(tmp_path, line, **{name: value})


def test_tsv_takes_the_arguments(tmp_path: Path) -> None:
    from rexkit.formats import TSVWriter, encode_image

    files = [tmp_path / name for name in ("a.images.tsv", "a.annotations.tsv", "a.lineidx")]
    record = to_record(Annotation((9, 9), [Instance("cup", bbox=[100, 100, 500, 500])]))
    with TSVWriter(*files) as writer:
        writer.write(encode_image(Image.new("RGB", (640, 480))), record)
        writer.commit()
    sample = TSVDataset(*files, coordinates="0-1000", orientation="stored")[0]
    assert sample.annotation.boxes().tolist() == [[64, 48, 320, 240]]
