"""What is written as ground truth is read back as it was meant, and earns full marks."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rexkit.errors import DataError, UserError
from rexkit.formats.annotation_records import read_record
from rexkit.grammar import COORD_TOKENS, read, to_bins
from rexkit.keypoints import KeypointSchema
from rexkit.models.tiny_tokenizer import build_tiny_tokenizer
from rexkit.rewards import WeightedRewards
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    OCRPolygonTask,
    PointingTask,
    VisualPromptTask,
)
from rexkit.tasks.categories import clean_category

SIZE = (4000, 3000)
DOG = Instance("dog", bbox=[100, 100, 900, 900], text="dog")
TOKENIZER = build_tiny_tokenizer()
SPECIAL = ["shelf <12>", "<999>", "a<|box_end|>", "<|im_end|>", "<tool_call>", "</think>"]


def sample(*instances: Instance, **known) -> Sample:
    return Sample(Image.new("RGB", (8, 8)), Annotation(SIZE, instances, **known), "a.jsonl:3")


def example(task, *instances: Instance):
    return task.example(sample(*instances), np.random.default_rng(0), training=False)


SIDES = st.floats(0, 6) | st.sampled_from([0.0, 0.3, 4.0])
BOXES = st.builds(
    lambda x, y, w, h: [x, y, min(x + w, SIZE[0]), min(y + h, SIZE[1])],
    st.floats(0, SIZE[0]),
    st.floats(0, SIZE[1]),
    SIDES,
    st.floats(0, 4) | st.floats(400, 900),
)


@given(st.lists(BOXES, min_size=1, max_size=4))
def test_the_response_for_any_flat_box_is_read_without_a_problem(boxes):
    ropes = [Instance("rope", bbox=box, text=f"t{n}") for n, box in enumerate(boxes)]
    for task in (GroundingTask(), OCRBoxTask(), VisualPromptTask()):
        made = example(task, *ropes, DOG)
        parsed = read(made.response, SIZE)
        assert parsed.problems == []
        assert len(parsed.instances) == sum(not i.ignore for i in made.target.instances)


@pytest.mark.parametrize(
    "box",
    [
        *([5, 9.1, 900, 10.5], [3996.1, 0, 3999.5, 3000], [9, 8, 9.5, 8.5]),
        *([3999.5, 0, 4000, 3000], [np.nextafter(4000, 0), 0, 4000, 3000], [7.9, 9, 8.1, 900]),
    ],
)
def test_boxes_flat_in_bins_earn_full_marks(box):
    made = example(GroundingTask(), Instance("rope", bbox=box), DOG)
    rewards = WeightedRewards(["box_f1", "format"])
    scores = rewards.score([read(made.response, SIZE)], [made.target], ["a"])
    assert {name: float(values[0]) for name, values in scores.by_name.items()} == {
        "box_f1": 1,
        "format": 1,
    }


def test_corners_of_flat_boxes_are_those_of_wide_ones():
    made = example(OCRPolygonTask(), Instance("word", bbox=[5, 9.1, 900, 10.5], text="rope"))
    [polygon] = [i.polygon for i in read(made.response, SIZE).instances]
    assert (to_bins(polygon.max(axis=0), SIZE) > to_bins(polygon.min(axis=0), SIZE)).all()


def test_boxes_without_area_are_ignored_and_their_points_kept():
    line = Instance("rope", bbox=[10, 10, 10, 100])
    dogs = example(GroundingTask(), replace(DOG, bbox=[9, 9, 9, 99]), DOG).target.instances
    assert [(i.ignore, i.extra.get("iscrowd")) for i in dogs] == [(True, False), (False, None)]
    assert example(GroundingTask(), line, DOG).phrases == ["dog"]
    with pytest.raises(DataError, match=r"a\.jsonl:3: .*nothing to ask for"):
        example(GroundingTask(), line)
    assert example(PointingTask(), line, DOG).phrases == ["dog", "rope"]
    person = Instance("person", bbox=[9, 9, 9, 99], keypoints={"nose": np.array([9.0, 9.0])})
    with pytest.raises(DataError, match="nothing to ask for"):
        example(KeypointTask(), person)


@pytest.mark.parametrize("phrase", SPECIAL)
def test_special_tokens_are_refused_at_every_door(phrase):
    with pytest.raises(DataError, match=r"boxes\[0\]: .*special token"):
        read_record({"boxes": [{"bbox": [1, 1, 9, 9], "phrase": phrase}]}, SIZE)
    with pytest.raises(UserError, match=r"categories: .*special token"):
        clean_category(phrase)
    with pytest.raises(DataError, match=r"a\.jsonl:3: .*special token"):
        example(GroundingTask(), Instance(phrase, bbox=[1, 1, 900, 900]))
    with pytest.raises(DataError, match=r"a\.jsonl:3: .*special token"):
        GroundingTask().example(sample(DOG, absent=[phrase]), np.random.default_rng(0), True)
    with pytest.raises(ValueError, match=r"extra_categories: .*special token"):
        GroundingTask(extra_categories=[phrase])
    with pytest.raises(ValueError, match="special token"):
        KeypointSchema("face", ["nose", phrase], sigmas=0.1)
    record = {"bbox": [1, 1, 9, 9], "phrase": "face", "keypoints": {phrase: [2, 2]}}
    with pytest.raises(DataError, match=r"keypoints: .*special token"):
        read_record({"boxes": [record]}, SIZE)


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(DataError, match="surrogate") as caught:
        read_record({"boxes": [{"bbox": [1, 1, 9, 9], "phrase": "cup\ud800"}]}, SIZE)
    str(caught.value).encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_phrases_of_data_and_of_predictor_are_one_line_in_nfc_without_controls(word):
    word = f"w{word}"
    try:
        asked = clean_category(word)
    except UserError:
        return
    [instance] = read_record({"boxes": [{"bbox": [1, 1, 9, 9], "phrase": word}]}, SIZE).instances
    made = example(GroundingTask(), Instance(word, bbox=[1, 1, 900, 900]))
    assert [asked] == [instance.phrase] == made.phrases == [made.target.instances[0].phrase]
    assert asked == unicodedata.normalize("NFC", asked)
    assert not any(unicodedata.category(c) == "Cc" for c in asked)
    coordinates = set(TOKENIZER.convert_tokens_to_ids(list(COORD_TOKENS)))
    assert not coordinates.intersection(TOKENIZER(made.prompt).input_ids)


def test_decomposed_text_and_keypoints_are_those_that_look_alike():
    decomposed = unicodedata.normalize("NFD", "café")
    made = example(OCRBoxTask(), Instance("word", bbox=[1, 1, 900, 900], text=decomposed))
    assert read(made.response, SIZE).phrases == [made.target.instances[0].text] == ["café"]
    record = {"bbox": [1, 1, 9, 9], "phrase": "a", "keypoints": {decomposed: [2, 2]}}
    [instance] = read_record({"boxes": [record]}, SIZE).instances
    assert list(instance.keypoints) == ["café"]
    assert KeypointSchema("k", [decomposed], sigmas=0.1).keypoints == ("café",)
