"""Tasks: prompts, responses, and what is random."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rexkit.errors import DataError
from rexkit.grammar import read
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.tasks.phrase import DEFAULT_NEGATIVES


@pytest.fixture
def sample() -> Sample:
    cups = [Instance("cup", bbox=np.array([10.0 * i, 0, 10 * i + 5, 50])) for i in range(2)]
    laptop = Instance("laptop", bbox=np.array([20.0, 20, 80, 60]), point=np.array([22.0, 58.0]))
    crowd = Instance("people", bbox=np.array([0.0, 0, 100, 100]), ignore=True)
    annotation = Annotation((100, 100), [*cups, laptop, crowd], absent=["dog"])
    return Sample(Image.new("RGB", (100, 100)), annotation, "here:1")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_testing_asks_in_the_public_words_and_in_alphabetical_order(sample):
    example = GroundingTask().example(sample, rng(), training=False)
    assert example.prompt == (
        "Detect cup, dog, laptop. Output the bounding box coordinates in [x0, y0, x1, y1] format."
    )
    assert example.response == (
        "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><49><499>,"
        "<99><0><149><499><|box_end|>, "
        "<|object_ref_start|>dog<|object_ref_end|><|box_start|>None<|box_end|>, "
        "<|object_ref_start|>laptop<|object_ref_end|><|box_start|><199><199><799><599><|box_end|>"
    )
    assert example.target.absent == ["dog"]
    assert (example.task, example.source) == ("detection", "here:1")


def test_pointing_points_at_the_point_or_the_centre_of_the_box(sample):
    example = PointingTask().example(sample, rng(), training=False)
    assert example.prompt == "Point to cup, dog, laptop."
    assert "cup<|object_ref_end|><|box_start|><24><249>,<124><249><|box_end|>" in example.response
    assert "laptop<|object_ref_end|><|box_start|><219><579><|box_end|>" in example.response


@pytest.mark.parametrize("task", [GroundingTask, PointingTask])
def test_left_to_right_orders_the_instances_of_a_phrase(sample, task):
    sample.annotation.instances.reverse()
    there = read(task(left_to_right=True).example(sample, rng(), False).response, (100, 100))
    back = read(task().example(sample, rng(), False).response, (100, 100))
    ordered, unordered = (
        [i.geometries[0]["coords"][0] for i in prediction.of("cup")] for prediction in (there, back)
    )
    assert ordered == sorted(set(ordered))
    assert unordered == ordered[::-1]


def test_prompt_is_the_same_for_inference(sample):
    task = GroundingTask()
    example = task.example(sample, rng(), training=False)
    assert task.prompt(example.phrases) == example.prompt


def test_training_draws_template_and_order_and_repeats_them_by_seed(sample):
    task = GroundingTask()
    drawn = [task.example(sample, rng(seed), training=True) for seed in range(60)]
    assert {e.prompt.partition(" ")[0] for e in drawn} == {"Detect", "Find", "Locate", "Where"}
    assert len({tuple(e.phrases) for e in drawn}) == 6
    again = task.example(sample, rng(7), training=True)
    assert (again.prompt, again.response) == (drawn[7].prompt, drawn[7].response)


def test_the_answer_follows_the_order_of_the_prompt(sample):
    for seed in range(10):
        example = GroundingTask().example(sample, rng(seed), training=True)
        places = [example.response.index(f">{phrase}<") for phrase in example.phrases]
        assert places == sorted(places)


def test_negatives_are_taken_from_what_is_not_in_the_image(sample):
    task = GroundingTask(
        extra_categories=["cup", "laptop", "dog", "cat", "bus"], num_negatives=(1, 2)
    )
    counts = set()
    for seed in range(30):
        example = task.example(sample, rng(seed), training=True)
        added = set(example.phrases) - {"cup", "laptop", "dog"}
        assert added <= {"cat", "bus"}
        assert set(example.target.absent) == added | {"dog"}
        counts.add(len(added))
    assert counts == {1, 2}


def test_extra_categories_alone_are_asked_for(sample):
    extra = ["cup", *(f"animal {n}" for n in range(20))]
    drawn = set()
    for seed in range(20):
        for training in (True, False):
            example = GroundingTask(extra_categories=extra).example(sample, rng(seed), training)
            added = set(example.phrases) - {"cup", "laptop", "dog"}
            assert len(added) == DEFAULT_NEGATIVES == 5
            assert added <= set(extra) & set(example.target.absent)
            drawn |= added
    assert len(drawn) > 15
    spelled = GroundingTask(extra_categories=["Cup", "lap_top", "animal"])
    assert set(spelled.example(sample, rng(), True).target.absent) == {"dog", "animal"}
    few = GroundingTask(extra_categories=extra[:3]).example(sample, rng(), training=True)
    assert set(few.target.absent) == {"dog", "animal 0", "animal 1"}
    everything = GroundingTask(extra_categories=extra, num_negatives=len(extra))
    assert set(extra) < set(everything.example(sample, rng(), training=True).phrases)
    none = GroundingTask(extra_categories=extra, num_negatives=0)
    assert set(none.example(sample, rng(), training=True).phrases) == {"cup", "laptop", "dog"}


def test_negatives_that_cannot_be_drawn_are_an_error():
    with pytest.raises(ValueError, match=r"num_negatives: .*extra_categories"):
        GroundingTask(num_negatives=(0, 3))
    assert GroundingTask(num_negatives=0).num_negatives == 0
    with pytest.raises(ValueError, match="extra_categories: must be a list"):
        GroundingTask(extra_categories="cup")


def test_num_categories_bounds_what_is_asked(sample):
    task = GroundingTask(num_categories=(1, 2))
    examples = [task.example(sample, rng(seed), training=True) for seed in range(40)]
    assert {len(e.phrases) for e in examples} == {1, 2}
    assert {p for e in examples for p in e.phrases} == {"cup", "dog", "laptop"}
    for example in examples:
        assert {i.phrase for i in example.target.instances} <= set(example.phrases)


def test_ignored_instances_are_neither_asked_nor_answered(sample):
    example = GroundingTask().example(sample, rng(), training=False)
    assert "people" not in example.prompt + example.response
    assert "people" not in example.target.phrases


def test_a_phrase_without_the_geometry_is_not_asked_rather_than_denied(sample):
    sample.annotation.instances.append(Instance("pen", point=np.array([5.0, 5.0])))
    assert "pen" not in GroundingTask().example(sample, rng(), training=False).phrases
    assert "pen" in PointingTask().example(sample, rng(), training=False).phrases


def test_a_sample_without_anything_to_ask_is_an_error():
    empty = Sample(Image.new("RGB", (9, 9)), Annotation((9, 9)), "here:2")
    with pytest.raises(DataError, match=r"here:2.*extra_categories"):
        GroundingTask().example(empty, rng(), training=True)
    for number in (None, 1, (0, 2)):
        task = GroundingTask(extra_categories=["cat", "bus"], num_negatives=number)
        for seed in range(9):
            example = task.example(empty, rng(seed), training=True)
            assert example.target.absent
            assert {*example.target.absent} <= {"cat", "bus"}
            assert "None" in example.response
    with pytest.raises(DataError, match="nothing to ask for"):
        GroundingTask(extra_categories=["cat"], num_negatives=0).example(empty, rng(), True)


def test_a_template_without_a_place_is_an_error():
    with pytest.raises(ValueError, match="Detect things"):
        GroundingTask(templates=["Detect things."])
