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


@pytest.mark.parametrize(
    "outline",
    [
        {"segmentation": [[10, 10, 20, 20]]},
        {"segmentation": [[]]},
        {"segmentation": [[], []]},
        {"segmentation": [["a"]]},
        {"segmentation": {"size": [0, 0], "counts": "11"}},
        {"segmentation": {"size": [480, 640], "counts": [10**30]}},
        {"segmentation": 7},
        {"polygon": [1, 1, 9, 9999, 5, 5]},
        {"polygon": "x"},
        {"mask": {"size": [480, 640], "counts": "1"}},
        {"mask": {"size": [2**63 - 1, 2**63 - 1], "counts": "1"}, "polygon": [0, 0, 9, 0, 9, 9]},
    ],
)
@pytest.mark.parametrize("other", ["bbox", "bbox_xyxy", "point", "keypoints"])
def test_an_unusable_outline_costs_no_other_geometry(outline: Any, other: str) -> None:
    value: Any = {"point": [3, 7], "keypoints": {"nose": [3, 7]}}.get(other, [1, 2, 3, 4])
    left_out: list[str] = []
    record = {"boxes": [{"phrase": "cup", other: value, **outline}]}
    (cup,) = read_record(record, SIZE, left_out=left_out).instances
    assert getattr(cup, other.removesuffix("_xyxy")) is not None
    assert (cup.polygon, cup.mask, cup.extra) == (None, None, {})
    assert len(left_out) == (outline != {"segmentation": [[]]})
    assert all(text.startswith("boxes[0] 'cup': ") for text in left_out)
    if left_out:
        with pytest.raises(DataError, match=r"boxes\[0\] 'cup': "):
            read_record({"boxes": [{"phrase": "cup", **outline}]}, SIZE, left_out=[])


@pytest.mark.parametrize(
    "segmentation",
    [
        [10, 10, 20, 10, 20, 20],
        [[10, 10], [20, 10], [20, 20]],
        [[10, 10, 20, 10, 20, 20], [30, 30, 31, 31], []],
    ],
)
def test_segmentations_of_one_polygon(segmentation: Any) -> None:
    (cup,) = read({"phrase": "cup", "segmentation": segmentation}).instances
    assert cup.polygon is not None
    assert cup.polygon.tolist() == [[10, 10], [20, 10], [20, 20]]


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
        ({"keypoints": {"nose": [1, 9]}, "hidden_keypoints": 3}, "must be a list of names, got 3"),
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
        ({"phrase": " "}, "is empty"),
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


def test_rotated_boxes_are_not_taken_for_upright_ones() -> None:
    with pytest.raises(
        DataError, match=r"boxes\[0\] is rotated by 30 degrees.* a 'polygon' instead"
    ):
        read({"phrase": "cup", "bbox": [1, 1, 9, 9], "rotation": 30})
    for rotation in (0, 360.0, None, "none"):
        read({"phrase": "cup", "bbox": [1, 1, 9, 9], "rotation": rotation})
    read({"phrase": "cup", "polygon": [1, 1, 9, 1, 9, 9], "rotation": 30})


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


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ([-20, 5, 9, 20], [0, 5, 9, 20]),
        ([600, 400, 700, 500], [600, 400, 640, 480]),
        ([-5, -5, 900, 900], [0, 0, 640, 480]),
    ],
)
def test_boxes_that_leave_the_image_are_clamped_and_named(
    box: list[int], inside: list[int]
) -> None:
    record = {"boxes": [{"phrase": "cup", "bbox": [1, 1, 641, 9]}, {"phrase": "dog", "bbox": box}]}
    clamped: list[str] = []
    annotation = read_record(record, SIZE, clamped=clamped)
    assert annotation.boxes().tolist() == [[1, 1, 640, 9], inside]
    assert clamped == [f"boxes[1] 'dog': bbox {box} leaves the image of 640x480"]
    with pytest.raises(DataError, match="lies outside the image"):
        read_record(record, SIZE)


@pytest.mark.parametrize(
    "box", [[700, 5, 800, 9], [-9, 5, 0, 9], [5, 481.5, 9, 490], [9, -5, 9, 5]]
)
def test_boxes_of_which_nothing_is_left_are_an_error(box: list[float]) -> None:
    clamped: list[str] = []
    with pytest.raises(DataError, match="lies outside the image"):
        read({"phrase": "cup", "bbox": box}, clamped=clamped)
    assert clamped == []


def side_by_side(boxes: list[list[int]], points: list[list[int]], other: str = "cup") -> Any:
    return {
        "points": [{"phrase": other, "point": xy, "id": n} for n, xy in enumerate(points)],
        "boxes": [{"phrase": "cup", "bbox": xyxy} for xyxy in boxes],
    }


LEFT, RIGHT, AROUND = [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 40, 40]


@pytest.mark.parametrize(
    ("boxes", "points", "pairs"),
    [
        # Equally many: in order, as the public training code pairs them.
        ([LEFT, RIGHT], [[25, 5], [5, 5]], [(LEFT, [25, 5]), (RIGHT, [5, 5])]),
        # Otherwise by position, whatever the order.
        (
            [AROUND, LEFT, RIGHT],
            [[25, 5], [5, 5]],
            [(AROUND, None), (LEFT, [5, 5]), (RIGHT, [25, 5])],
        ),
        # The smaller box where a point lies in several, unless the larger has no other point.
        ([AROUND, LEFT], [[5, 5]], [(AROUND, None), (LEFT, [5, 5])]),
        ([AROUND, LEFT, RIGHT], [[4, 4], [5, 5]], None),
    ],
)
def test_points_and_boxes_side_by_side_are_one_set(
    boxes: list[list[int]], points: list[list[int]], pairs: list[Any] | None
) -> None:
    instances = read_record(side_by_side(boxes, points), SIZE).instances
    assert len(instances) == len(boxes)
    found = [(i.bbox.tolist(), i.point if i.point is None else i.point.tolist()) for i in instances]
    if pairs is None:
        assert sum(point is not None for _, point in found) == len(points)
        assert found[2] == (RIGHT, None)
    else:
        assert found == pairs
    assert sorted(i.extra["id"] for i in instances if i.point is not None) == list(
        range(len(points))
    )


@pytest.mark.parametrize("points", [[[5, 5], [6, 6], [25, 5]], [[50, 50]]])
def test_points_that_cannot_be_paired_are_an_error(points: list[list[int]]) -> None:
    with pytest.raises(
        DataError, match=r"points\[\d\] \(id \d\) 'cup' lies in no region .*'boxes'"
    ):
        read_record(side_by_side([LEFT, RIGHT], points), SIZE)


def test_points_of_another_phrase_and_complete_entries_stay_by_themselves() -> None:
    record = side_by_side([LEFT], [[5, 5]], other="dog")
    assert [i.phrase for i in read_record(record, SIZE).instances] == ["cup", "dog"]
    both = {"phrase": "cup", "bbox": LEFT, "point": [1, 1]}
    complete = {"boxes": [both], "points": [{"phrase": "cup", "point": [5, 5]}]}
    assert len(read_record(complete, SIZE).instances) == 2
    mixed = {"boxes": [both], "points": [both], "instances": [both]}
    assert len(read_record(mixed, SIZE).instances) == 3


def test_points_are_paired_with_masks_where_there_are_no_boxes() -> None:
    runs = [{"size": [480, 640], "counts": [s, 480, 480 * 639 - s]} for s in (0, 480, 960)]
    record = {
        "masks": [{"phrase": "cell", "mask": run} for run in runs],
        "points": [{"phrase": "cell", "point": [2.5, 9]}, {"phrase": "cell", "point": [0.5, 9]}],
    }
    first, second, third = read_record(record, SIZE).instances
    assert first.point.tolist() == [0.5, 9]
    assert second.point is None
    assert third.point.tolist() == [2.5, 9]
