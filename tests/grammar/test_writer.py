"""Writing instances as text, and refusing what cannot be read back."""

from __future__ import annotations

import numpy as np
import pytest
from grammar_strategies import (
    BOXES,
    SIZES,
    TEXTS,
    annotations,
    geometry_of,
    keypoint_annotations,
)
from hypothesis import given
from hypothesis import strategies as st

from rexkit.grammar import (
    read,
    read_references,
    to_bins,
    write,
    write_keypoints,
    write_references,
)
from rexkit.phrases import clean_phrase
from rexkit.structures import Instance

SIZE = (999, 999)
BOX = np.array([1.0, 2.0, 3.0, 4.0])


def cup(**geometry) -> Instance:
    return Instance("cup", **(geometry or {"bbox": BOX}))


# ---------------------------------------------------------------------------------------- writing


def test_instances_of_one_phrase_share_a_span():
    point = Instance("dog", point=np.array([5.0, 6.0]))
    assert write([cup(), point, cup()], SIZE) == (
        "<|object_ref_start|>cup<|object_ref_end|>"
        "<|box_start|><1><2><3><4>,<1><2><3><4><|box_end|>, "
        "<|object_ref_start|>dog<|object_ref_end|><|box_start|><5><6><|box_end|>"
    )


def test_phrases_set_the_order_and_absent_ones_are_none():
    prediction = write([cup()], SIZE, phrases=["dog", "cup"])
    assert prediction.index("dog") < prediction.index("None") < prediction.index("cup")


def test_the_geometry_can_be_chosen():
    both = cup(bbox=BOX, point=np.array([9.0, 9.0]))
    assert "<9><9><|" in write([both], SIZE, geometry="point")
    assert "<3><4><|" in write([both], SIZE)


def test_an_instance_without_geometry_is_none():
    assert "None" in write([Instance("fog")], SIZE)


def test_transcriptions():
    word = Instance("word", bbox=BOX, text="Hello, world")
    assert "start|>Hello, world<|object" in write([word], SIZE, transcription="phrase")
    assert "<4>Hello, world<|box_end|>" in write([word], SIZE, transcription="inline")


def test_requested_levels_are_none_only_without_instances():
    word = Instance("word", bbox=BOX, text="Hello")
    prediction = write([word], SIZE, phrases=["word", "line"], transcription="phrase")
    assert read(prediction, SIZE).phrases == ["line", "Hello"]


def test_keypoints_are_numbered_by_phrase():
    hidden = {"nose": None}
    phrases = ["personnel", "person", "person"]
    people = [Instance(phrase, bbox=BOX, keypoints=hidden) for phrase in phrases]
    prediction = read(write(people, SIZE), SIZE)
    assert [i.name for i in prediction.instances] == ["personnel1", "person1", "person2"]


# ---------------------------------------------------------------------------------------- refusals


def changed(**geometry: np.ndarray) -> Instance:
    """A cup that got its geometry after it had been built and checked."""
    instance = Instance("cup")
    for name, value in geometry.items():
        setattr(instance, name, value)
    return instance


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (Instance(" ", bbox=BOX), "is empty"),
        (Instance("a<|box_end|>", bbox=BOX), "markup"),
        (changed(bbox=BOX[:3]), r"bbox of 'cup' has shape \(3,\)"),
        (cup(bbox=BOX[[2, 1, 0, 3]]), "must be x0 y0 x1 y1"),
        (cup(bbox=BOX * np.nan), "finite"),
        (changed(polygon=np.ones((2, 2))), "polygon of 'cup' has shape"),
        (changed(polygon=np.ones(8)), "polygon of 'cup' has shape"),
        (cup(bbox=BOX, keypoints={" ": None}), "is empty"),
        (cup(keypoints={"rim": None}), "needs a bbox"),
        (Instance("route 66", bbox=BOX, keypoints={}), "must be the phrase"),
        (Instance("cup", bbox=BOX, keypoints={}, name="mug1"), "must be the phrase 'cup'"),
    ],
)
def test_instances_that_cannot_be_read_back_are_refused(instance, message):
    with pytest.raises(ValueError, match=message):
        write([instance], SIZE)


def test_two_instances_with_one_name_are_refused():
    twin = Instance("cup", bbox=BOX, keypoints={}, name="cup1")
    with pytest.raises(ValueError, match="two instances have the name 'cup1'"):
        write_keypoints([twin, twin], SIZE)


def test_a_text_with_coordinates_is_refused():
    word = Instance("word", bbox=BOX, text="row <12>")
    with pytest.raises(ValueError, match="contains '<12>'"):
        write([word], SIZE, transcription="inline")


def test_missing_parts_are_errors():
    with pytest.raises(ValueError, match="'cup' has no point"):
        write([cup()], SIZE, geometry="point")
    with pytest.raises(ValueError, match="'cup' has no text"):
        write([cup()], SIZE, transcription="phrase")
    with pytest.raises(ValueError, match="'cup' is not among"):
        write([cup()], SIZE, phrases=["dog"])


@pytest.mark.parametrize("phrase", ["<", "a < b", "<|", "<1 >", "None", 'a "b", c', "犬", "x|>"])
def test_unusual_phrases_are_allowed(phrase):
    assert clean_phrase(phrase) == phrase
    prediction = write([Instance(phrase, bbox=BOX)], SIZE, phrases=[phrase, "dog"])
    assert read(prediction, SIZE).phrases == [phrase, "dog"]


# -------------------------------------------------------------------------------------- round trip


def geometries(annotation) -> dict[str, list]:
    """Geometries by phrase."""
    return {p: [geometry_of(i) for i in annotation.of(p)] for p in annotation.phrases}


def only_flat_boxes(problems) -> bool:
    return {p.kind for p in problems} <= {"flat_box"}


@given(annotations())
def test_write_then_read_is_exact(target):
    prediction = read(
        write(target.instances, target.image_size, phrases=target.phrases), target.image_size
    )
    assert geometries(prediction) == geometries(target)
    assert prediction.phrases == target.phrases
    assert list(prediction.absent) == list(target.absent)
    assert only_flat_boxes(prediction.problems)


@given(SIZES, st.lists(st.lists(st.floats(-10, 6000), min_size=4, max_size=4), max_size=5))
def test_pixels_between_bins_keep_their_bins(size, corners):
    boxes = np.array(corners).reshape(-1, 2, 2)
    boxes.sort(axis=1)
    target = boxes.reshape(-1, 4)
    prediction = read(write([cup(bbox=box) for box in target], size, phrases=["cup"]), size)
    assert (to_bins(prediction.boxes("cup"), size) == to_bins(target, size)).all()


@given(annotations(texts=st.none() | TEXTS))
def test_inline_transcriptions_are_read_back(target):
    size, phrases = target.image_size, target.phrases
    text = write(target.instances, size, phrases=phrases, transcription="inline")
    prediction = read(text, size, transcription="inline")
    assert geometries(prediction) == geometries(target)
    for phrase in phrases:
        assert [i.text for i in prediction.of(phrase)] == [i.text for i in target.of(phrase)]
    assert list(prediction.absent) == list(target.absent)
    assert only_flat_boxes(prediction.problems)


@given(annotations(texts=TEXTS))
def test_transcriptions_as_phrases_are_read_back(target):
    text = write(target.instances, target.image_size, transcription="phrase")
    if not target.instances:
        return
    prediction = read(text, target.image_size, transcription="phrase")
    by_text = {i.text: [] for i in target.instances}
    for instance in target.instances:
        by_text[instance.text].append(geometry_of(instance))
    assert {p: [geometry_of(i) for i in prediction.of(p)] for p in prediction.phrases} == by_text
    assert all(i.text == i.phrase for i in prediction.instances)


@given(keypoint_annotations())
def test_keypoints_are_read_back(target):
    prediction = read(write_keypoints(target.instances, target.image_size), target.image_size)
    assert only_flat_boxes(prediction.problems)
    assert len(prediction.instances) == len(target.instances)
    for found, true in zip(prediction.instances, target.instances, strict=True):
        assert found.phrase == true.phrase
        assert found.bbox.tolist() == true.bbox.tolist()
        assert {k: v if v is None else v.tolist() for k, v in found.keypoints.items()} == {
            k: v if v is None else v.tolist() for k, v in true.keypoints.items()
        }


@given(SIZES, st.dictionaries(TEXTS, st.lists(BOXES, max_size=3), max_size=3))
def test_references_are_read_back(size, boxes):
    pixels = {
        name: np.array(b).reshape(-1, 4) * np.tile(size, 2) / 999 for name, b in boxes.items()
    }
    prompt = f"Given reference boxes {write_references(pixels, size)} indicating objects, find all."
    found = read_references(prompt, size)
    assert {name: to_bins(b, size).tolist() for name, b in found.items()} == boxes


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Given reference boxes",
        '{"a": 5}',
        '{"a": ["<1><2><3>"]}',
        '{"a": ["<1><2><3><1000>"]}',
        '{"a": ["<1><2><3><4>, <5>"]}',
        '{"a": [[1, 2, 3, 4]]}',
        '{"a": ["<1><2>',
        "{" * 100_000,
    ],
)
def test_invalid_references_are_errors(prompt):
    with pytest.raises(ValueError, match=r"reference boxes|must list boxes"):
        read_references(prompt, SIZE)
