"""One record to an annotation and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from annotation_strategies import annotations, plain, random_mask
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record, to_record
from rexkit.geometry import decode_mask
from rexkit.structures import Annotation

SIZE = (640, 480)


def read(*entries: dict[str, Any], **options: Any) -> Annotation:
    return read_record({"boxes": list(entries)}, SIZE, **options)


def test_boxes_of_the_public_format() -> None:
    annotation = read(
        {"bbox": [10, 20, 100.5, 200], "phrase": "red cup"},
        {"bbox": [0, 0, 640, 480], "caption": "table"},
        {"bbox": None, "phrase": "dog"},
    )
    assert annotation.phrases == ["red cup", "table", "dog"]
    assert annotation.boxes().tolist() == [[10, 20, 100.5, 200], [0, 0, 640, 480]]
    assert list(annotation.absent) == ["dog"]
    assert annotation.image_size == SIZE


def test_points_of_the_public_format() -> None:
    record = {"points": [{"point": [65, 110], "phrase": "cup"}, {"point": None, "phrase": "dog"}]}
    annotation = read_record(record, SIZE)
    assert annotation.points("cup").tolist() == [[65, 110]]
    assert list(annotation.absent) == ["dog"]


def test_width_and_height_by_argument() -> None:
    entry = {"bbox": [10, 20, 30, 40], "phrase": "cup"}
    assert read(entry, box_format="xywh").boxes().tolist() == [[10, 20, 40, 60]]
    named = {"bbox_xyxy": [10, 20, 30, 40], "phrase": "cup"}
    assert read(named, box_format="xywh").boxes().tolist() == [[10, 20, 30, 40]]


def test_all_geometries_of_an_entry_are_kept() -> None:
    (instance,) = read(
        {
            "phrase": "cell",
            "bbox": [0, 0, 4, 2],
            "point": [2, 1],
            "polygon": [[0, 0], [4, 0], [4, 2]],
            "mask": {"size": [480, 640], "counts": [0, 640 * 480]},
            "keypoints": {"nose": [1, 1], "tail": None},
        }
    ).instances
    assert instance.bbox is not None
    assert instance.point is not None
    assert instance.polygon is not None
    assert instance.polygon.tolist() == [[0, 0], [4, 0], [4, 2]]
    assert instance.mask is not None
    assert decode_mask(instance.mask).all()
    assert instance.keypoints is not None
    assert instance.keypoints["tail"] is None
    assert instance.keypoints["nose"] is not None


def test_one_geometry_is_enough_to_be_there() -> None:
    annotation = read({"phrase": "cup", "bbox": None, "point": [1, 2]})
    assert len(annotation.instances) == 1
    assert not annotation.absent


def test_a_phrase_that_is_there_is_not_absent() -> None:
    annotation = read({"phrase": "cup", "bbox": None}, {"phrase": "cup", "bbox": [0, 0, 1, 1]})
    assert not annotation.absent


def test_ocr_fields() -> None:
    record = {
        "width": 640,
        "height": 480,
        "instances": [
            {"polygon": [0, 0, 9, 0, 9, 9], "bbox_xyxy": [0, 0, 9, 9], "text": "EXIT"},
            {"polygon": [0, 0, 9, 0, 9, 9], "text": "###", "ignore": True},
        ],
    }
    first, second = read_record(record, SIZE).instances
    assert (first.phrase, first.text, first.ignore) == ("text", "EXIT", False)
    assert first.polygon is not None
    assert first.polygon.shape == (3, 2)
    assert second.ignore


def test_label_of_the_record_and_other_keys() -> None:
    record = {"label": "nucleus", "instances": [{"instance": 7, "point": [3, 7], "area": 119}]}
    (instance,) = read_record(record, SIZE).instances
    assert instance.phrase == "nucleus"
    assert instance.extra == {"instance": 7, "area": 119}


def test_coco_segmentations() -> None:
    triangle, far = [0, 0, 40, 0, 0, 40], [100, 100, 200, 100, 200, 200, 100, 200]
    run = {"size": [480, 640], "counts": [0, 640 * 480]}
    box = {"phrase": "a", "bbox": [0, 0, 9, 9]}
    one, several, lengths, none = read(
        {**box, "segmentation": [triangle]},
        {**box, "segmentation": [triangle, far]},
        {**box, "segmentation": run},
        {**box, "segmentation": []},
    ).instances
    assert one.polygon is not None
    assert one.mask is None
    assert several.polygon is None
    assert several.mask is not None
    assert decode_mask(several.mask)[150, 150]
    assert decode_mask(several.mask)[5, 5]
    assert not decode_mask(several.mask)[50, 50]
    assert lengths.mask == run
    assert (none.polygon, none.mask, none.extra) == (None, None, {})


def test_rounding_is_moved_to_the_edge() -> None:
    annotation = read({"phrase": "cup", "bbox": [-1, -0.4, 640.7, 481]})
    assert annotation.boxes().tolist() == [[0, 0, 640, 480]]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"bbox": [5, 5, 900, 20]}, r"\[5, 5, 900, 20\] lies outside the image of 640x480"),
        ({"bbox": [-1.5, 5, 9, 20]}, "outside"),
        ({"bbox": [1, 2, 3]}, r"\[1, 2, 3\] must be 4 numbers"),
        ({"bbox": []}, "must be 4 numbers"),
        ({"bbox": 7}, "must be 4 numbers"),
        ({"bbox": ["1", "2", "3", "4"]}, "must be 4 numbers"),
        ({"bbox": [1, 2, 3, None]}, "must be 4 numbers"),
        ({"bbox": [[1, 2], [3, 4]]}, "must be 4 numbers"),
        ({"bbox": [1, 2, 3, math.nan]}, "not finite"),
        ({"bbox": [1, 2, 3, math.inf]}, "not finite"),
        ({"bbox": [9, 9, 1, 10]}, "ends before it begins; .*box_format='xywh'"),
        ({"point": [1, 2, 3]}, "must be 2 numbers"),
        ({"point": [641.5, 2]}, "outside"),
        ({"polygon": [0, 0, 1, 1]}, "three points or more"),
        ({"polygon": [0, 0, 1, 1, 2]}, "three points or more"),
        ({"polygon": [0, 0, 1, 1, 2, "3"]}, "three points or more"),
        ({"polygon": [0, 0, 1, math.nan, 2, 3]}, "not finite"),
        ({"polygon": [0, 0, 1, 900, 2, 3]}, "outside"),
        ({"keypoints": {"nose": [1, 999]}}, "keypoint 'nose': .*outside"),
        ({"mask": {"size": [640, 480], "counts": "0"}}, r"the image \[480, 640\]"),
        ({"mask": {"size": [480, 640], "counts": [5, 6]}}, "do not cover"),
        ({"mask": {"size": [480, 640], "counts": ""}}, "do not cover"),
        ({"mask": {"size": [480, 640], "counts": "garbage"}}, "do not cover"),
        ({"mask": {"size": [480, 640], "counts": 3}}, "do not cover"),
        ({"mask": [1]}, "mask must be"),
        ({"segmentation": 3}, "mask must be"),
        ({"segmentation": [[0, 0, 1, 1]]}, "three points or more"),
        ({}, "holds none of"),
        ({"box": [1, 2, 3, 4]}, "holds none of"),
        ({"segmentation": []}, "holds none of"),
        ({"keypoints": [1, 2, 2]}, "holds none of"),
        ({"bbox": [0, 0, 1, 1], "text": 5}, "text must be str"),
        ({"bbox": [0, 0, 1, 1], "ignore": "false"}, "ignore must be bool"),
        ({"bbox": [0, 0, 1, 1], "score": "0.9"}, "score must be float"),
    ],
)
def test_what_cannot_be_used(entry: dict[str, Any], reason: str) -> None:
    good = {"phrase": "cup", "bbox": [0, 0, 1, 1], "point": [0, 0]}
    with pytest.raises(DataError, match=reason) as caught:
        read(good, {"phrase": "the thing", "id": 31, **entry})
    assert "boxes[1] (id 31)" in caught.value.reason
    assert "cup" not in caught.value.reason


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        ({}, "must have a phrase"),
        ({"phrase": 3}, "must have a phrase, a string; got 3"),
        ({"phrase": " "}, "must not be empty"),
        ({"phrase": "a<|box_end|>"}, "markup"),
    ],
)
def test_phrases_that_no_response_can_hold(phrase: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read({"bbox": [0, 0, 1, 1], **phrase})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ({"boxs": []}, "did you mean 'boxes'"),
        ({}, "holds none of"),
        ({"boxes": None}, "boxes must be a list"),
        ({"boxes": [[1, 2, 3, 4]]}, r"boxes\[0\] must be a JSON object"),
        ({"boxes": [], "width": 480, "height": 640}, "480x640, this one has 640x480"),
    ],
)
def test_what_is_no_record(record: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_record(record, SIZE)


def test_negative_width_is_not_taken_for_the_other_format() -> None:
    with pytest.raises(DataError, match="negative width or height"):
        read({"phrase": "cup", "bbox": [9, 9, -1, 3]}, box_format="xywh")
    with pytest.raises(DataError, match="box_format='xyxy'"):
        read({"phrase": "cup", "bbox": [300, 9, 600, 30]}, box_format="xywh")


def test_an_empty_image_is_a_image() -> None:
    assert read_record({"boxes": []}, SIZE).phrases == []


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(1, 70), st.integers(-3, 3))
def test_compressed_masks_are_read_as_pycocotools_writes_them(
    seed: int, width: int, height: int, taller: int
) -> None:
    mask = random_mask(seed, width, height)
    record = {"masks": [{"phrase": "a", "mask": mask}]}
    (instance,) = read_record(record, (width, height)).instances
    assert instance.mask == {**mask, "counts": mask["counts"].decode()}
    if taller and height + taller > 0:
        mask["size"] = [height + taller, width]
        with pytest.raises(DataError, match="do not cover"):
            read_record(record, (width, height + taller))


@settings(deadline=None)
@given(annotations())
def test_a_record_reads_back_to_the_same(annotation: Annotation) -> None:
    record = json.loads(json.dumps(to_record(annotation)))
    assert plain(read_record(record, annotation.image_size)) == plain(annotation)
