"""Keypoint JSON, and other JSON."""

from __future__ import annotations

import json

import pytest
from grammar_strategies import keypoint_annotations
from hypothesis import given
from hypothesis import strategies as st

from rexkit.grammar import read, write_keypoints

SIZE = (999, 999)  # a pixel is a bin
BOX = " <1> <36> <987> <984> "
PERSON = {"bbox": BOX, "keypoints": {"nose": " <540> <351> ", "left ear": "unvisible"}}


def fenced(value: object) -> str:
    return f"```json\n{value if isinstance(value, str) else json.dumps(value)}\n```"


def kinds(prediction) -> list[str]:
    return [problem.kind for problem in prediction.problems]


def person(**changes) -> str:
    return json.dumps({"person1": {**PERSON, **changes}})


@pytest.mark.parametrize("end", ["", "<|im_end|>", "\n<|endoftext|>ignored"])
@pytest.mark.parametrize("wrap", [fenced, json.dumps, lambda p: f"\n {json.dumps(p, indent=2)}\n"])
def test_keypoint_json(wrap, end):
    prediction = read(wrap({"person1": PERSON, "person2": PERSON, "dog1": PERSON}) + end, SIZE)
    assert not prediction.problems
    assert [(i.name, i.phrase) for i in prediction.instances] == [
        ("person1", "person"),
        ("person2", "person"),
        ("dog1", "dog"),
    ]
    first = prediction.instances[0]
    assert first.bbox.tolist() == [1, 36, 987, 984]
    assert first.keypoints["nose"].tolist() == [540, 351]
    assert first.keypoints["left ear"] is None
    assert prediction.to_dict()["dog"] == [
        {
            "type": "keypoint",
            "coords": [1, 36, 987, 984],
            "bbox": [1, 36, 987, 984],
            "keypoints": {"nose": [540, 351], "left ear": "unvisible"},
            "instance_id": "dog1",
        }
    ]


def test_no_instance():
    prediction = read(fenced({}), SIZE)
    assert not prediction.instances
    assert not prediction.problems


@pytest.mark.parametrize(
    ("name", "phrase"), [("person", "person"), ("left hand 12", "left hand"), ("7", "7")]
)
def test_names_to_phrases(name, phrase):
    assert read(json.dumps({name: PERSON}), SIZE).instances[0].phrase == phrase


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        (person(bbox="<1><2><3>"), "odd_coordinates", '"<1><2><3>"'),
        (person(bbox="<1><2><3><1000>"), "out_of_range", '"<1><2><3><1000>"'),
        (person(bbox="<9><2><3><4>"), "inverted_box", '"<9>'),
        (person(bbox="<3><2><3><4>"), "flat_box", '"<3>'),
        (person(bbox="box <3><2><4><4>"), "junk", '"box'),
        (person(keypoints={"nose": "<1>"}), "odd_coordinates", '"<1>"'),
        (person(keypoints={"nose": "hidden"}), "junk", '"hidden"'),
        (person(keypoints={"nose": ""}), "odd_coordinates", '""'),
        (person(keypoints={"nose": [1, 2]}), "foreign_json", "[1, 2]"),
        (person(keypoints={"nose": None}), "junk", "null"),
        (person(keypoints=["<1><2>", "<3><4>"]), "foreign_json", '["<1>'),
        (person(bbox=[1, 2, 3, 4]), "foreign_json", "[1, 2"),
        (person(label="x"), "foreign_json", '"x"'),
        ('{"person1": {"keypoints": {"nose": "<1><2>"}}}', "no_geometry", '"person1"'),
        ('{"person1": {}}', "foreign_json", '"person1"'),
        ('{"person1": null}', "foreign_json", "null"),
        (person().replace(', "keypoints', ' "keypoints'), "bad_json", '"keypoints'),
        (person() + " so there", "junk", " so there"),
        ("Here: " + person(), "junk", "Here"),
        ("```json\n" + person(), "truncated", ""),
        ("```json\n" + person() + "<|im_end|>", "bad_json", "<|im_end|>"),
    ],
)
def test_problems_and_their_offsets(text, kind, place):
    prediction = read(text, SIZE)
    assert kinds(prediction) == [kind]
    assert text[prediction.problems[0].offset :].startswith(place)


def test_invalid_values_are_omitted_and_the_rest_is_kept():
    points = {"nose": "<1>", "chin": "<5><6>", "ear": "<1><2000>", "eye": "unvisible"}
    (found,) = read(person(keypoints=points), SIZE).instances
    assert {name: xy is None for name, xy in found.keypoints.items()} == {
        "chin": False,
        "eye": True,
    }
    (found,) = read(person(bbox="<1>"), SIZE).instances
    assert found.bbox is None
    assert found.keypoints["nose"].tolist() == [540, 351]


def test_repeated_names():
    text = '{"person1": %s, "person1": %s}' % ((json.dumps(PERSON),) * 2)
    prediction = read(text, SIZE)
    assert len(prediction.instances) == 2
    assert kinds(prediction) == ["bad_json"]


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [1, 2, 3, 4], "label": "dog"}]',
        fenced([{"bbox_2d": [1, 2, 3, 4], "label": "dog"}]),
        fenced({"bbox_2d": [1, 2, 3, 4]}),
        fenced({"dog": [[1, 2, 3, 4]]}),
        fenced({"dog": {"bbox_2d": [1, 2, 3, 4]}}),
        fenced('[{"bbox_2d": [1, 2, 3, 4], "label": "dog"}, {"bbox'),
        "[" * 100_000,
    ],
)
def test_json_of_an_untuned_model_is_a_problem_and_no_error(text):
    prediction = read(text, SIZE)
    assert not prediction.instances
    assert kinds(prediction) == ["foreign_json"]


@pytest.mark.parametrize(
    "text", ['{"a":' * 100_000, f'{{"a1": {{"bbox": {"9" * 100_000}}}}}', '{"a": 1e999}', '{"\\']
)
def test_json_that_json_loads_cannot_parse(text):
    prediction = read(text, SIZE)
    assert not prediction.instances
    assert prediction.problems


def test_cut_at_the_token_limit():
    text = fenced({"person1": PERSON, "person2": PERSON})
    cut = text.index("left ear", text.index("person2"))
    prediction = read(text[:cut], SIZE)
    assert kinds(prediction) == ["truncated"]
    assert [list(i.keypoints) for i in prediction.instances] == [["nose", "left ear"], ["nose"]]
    early = read(text[: text.index("bbox", text.index("person2"))], SIZE)
    assert [i.name for i in early.instances] == ["person1"]


@given(keypoint_annotations(), st.data())
def test_a_cut_text_gives_the_first_instances(target, data):
    text = write_keypoints(target.instances, target.image_size)
    whole = read(text, target.image_size).instances
    cut = data.draw(st.integers(0, len(text) - 1))
    prediction = read(text[:cut], target.image_size)
    for found, true in zip(prediction.instances, whole, strict=False):
        assert found.name == true.name
        assert list(found.keypoints) == list(true.keypoints)[: len(found.keypoints)]
    assert len(prediction.instances) <= len(whole)
    assert {"truncated", "junk", "empty"} & set(kinds(prediction))
