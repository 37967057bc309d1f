"""Instances and annotations convert what can be converted, and refuse the rest by the field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rexkit.grammar import read, write
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (64, 48)


def test_lists_become_arrays():
    instance = Instance(
        "cup",
        bbox=[1, 2, 3, 4],
        point=(1, 2),
        polygon=[[0, 0], [4, 0], [4, 4]],
        keypoints={"rim": [1, 2], "foot": None},
        score=np.float32(0.5),
    )
    for name, shape in (("bbox", (4,)), ("point", (2,)), ("polygon", (3, 2))):
        value = getattr(instance, name)
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
        assert value.shape == shape
    assert instance.keypoints["rim"].dtype == np.float64
    assert instance.keypoints["foot"] is None
    assert type(instance.score) is float


def test_an_instance_of_lists_can_be_written_scored_and_recorded():
    target = Annotation(SIZE, [Instance("cup", bbox=[1, 2, 30, 40])])
    assert target.to_dict() == {"cup": [{"type": "box", "coords": [1.0, 2.0, 30.0, 40.0]}]}
    assert read(write(target.instances, SIZE), SIZE).boxes("cup").shape == (1, 4)
    moved = replace(target.instances[0], bbox=[0, 0, 1, 1])
    assert moved.bbox.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_arrays_of_other_types_become_float64(dtype):
    assert Instance("cup", bbox=np.array([1, 2, 3, 4], dtype)).bbox.dtype == np.float64


@pytest.mark.parametrize("score", [0, 1])
def test_the_ends_of_the_range_are_scores(score):
    assert Instance("cup", score=score).score == score


def test_phrases_are_listed_once_in_the_order_of_the_instances_or_of_the_text():
    instances = [Instance("cup"), Instance("dog"), Instance("cup")]
    assert Annotation(SIZE, instances, ["pen", "dog"]).phrases == ["cup", "dog", "pen"]
    read_first = Prediction(SIZE, instances, ["pen"], order=["pen", "cup", "pen"])
    assert read_first.phrases == ["pen", "cup", "dog"]


def test_boxes_and_points_are_those_of_a_phrase_or_of_all():
    instances = [
        Instance("cup", bbox=[1, 2, 3, 4]),
        Instance("cup", point=[5, 6]),
        Instance("dog", bbox=[7, 8, 9, 10], point=[8, 9]),
    ]
    target = Annotation(SIZE, instances)
    assert target.boxes("cup").tolist() == [[1, 2, 3, 4]]
    assert target.boxes().tolist() == [[1, 2, 3, 4], [7, 8, 9, 10]]
    assert target.points("dog").tolist() == [[8, 9]]
    assert target.points().tolist() == [[5, 6], [8, 9]]


@pytest.mark.parametrize(
    ("text", "more"), [(None, {}), ("EXIT", {}), ("exit", {"text": "exit"}), ("", {"text": ""})]
)
def test_a_text_is_recorded_where_it_is_not_the_phrase(text, more):
    (box,) = Instance("EXIT", bbox=[1, 2, 3, 4], text=text).geometries
    assert box == {"type": "box", "coords": [1, 2, 3, 4], **more}


def test_keypoints_are_recorded_with_the_name_of_the_instance():
    person = Instance("person", bbox=[0, 0, 9, 9], keypoints={"nose": [1, 2]}, name="person1")
    (found,) = person.geometries
    assert (found["instance_id"], found["bbox"]) == ("person1", [0, 0, 9, 9])
    assert found["keypoints"] == {"nose": [1, 2]}


def test_an_array_that_fits_is_kept():
    box = np.array([1.0, 2.0, 3.0, 4.0])
    assert Instance("cup", bbox=box).bbox is box


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(bbox=[1, 2, 3]), r"bbox: expected the shape \(4,\), got \(3,\)"),
        (dict(bbox=np.zeros((1, 4))), r"bbox: expected the shape \(4,\), got \(1, 4\)"),
        (dict(bbox=["a", 2, 3, 4]), "bbox: expected numbers"),
        (dict(bbox={"x": 1}), "bbox: expected numbers"),
        (dict(point=[1, 2, 3]), "point: expected the shape"),
        (dict(polygon=[[0, 0], [1, 1]]), r"polygon: expected the shape \(N, 2\) with N >= 3"),
        (dict(polygon=[0, 0, 1, 1, 2, 2]), r"polygon: expected the shape .* got \(6,\)"),
        (dict(polygon=[[0, 0], [1], [2, 2]]), "polygon: expected numbers"),
        (dict(keypoints=[[1, 2]]), "keypoints: expected a dict"),
        (dict(keypoints={"rim": [1]}), r"keypoints\['rim'\]: expected the shape"),
        (dict(mask=np.zeros((4, 4))), "mask: expected COCO RLE"),
        (dict(mask={"size": [4, 4]}), "mask: expected COCO RLE"),
        (dict(score=1.5), r"score: expected a number in \[0, 1\]"),
        (dict(score="high"), "score: expected a number"),
        (dict(score=float("nan")), "score: expected a number in"),
        (dict(phrase=3), "phrase: expected a string"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_its_field(fields, message):
    with pytest.raises(ValueError, match=message):
        Instance(**{"phrase": "cup", **fields})


@pytest.mark.parametrize("kind", [Annotation, Prediction])
def test_annotations_check_their_fields(kind):
    assert kind([np.int64(64), 48]).image_size == (64, 48)
    for size in ((0, 5), (4, -1), (4,), (4, 5, 6), (4.5, 3), "ab", None):
        with pytest.raises(ValueError, match="image_size: expected"):
            kind(size)
    with pytest.raises(ValueError, match="instances: expected Instance objects, got 'cup'"):
        kind(SIZE, ["cup"])
    with pytest.raises(ValueError, match="absent: expected a list"):
        kind(SIZE, [], "cup")
