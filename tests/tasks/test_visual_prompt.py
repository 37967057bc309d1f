"""Visual prompts: references, prompts and responses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import ShapesDataset
from rexkit.errors import DataError
from rexkit.grammar import read, read_references
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import QuestionArguments, VisualPromptTask

SIZE = (100, 100)


def thing(phrase, x, y, **known):
    return Instance(phrase, bbox=np.array([x, y, x + 8, y + 8], dtype=float), **known)


@pytest.fixture
def sample() -> Sample:
    cups = [thing("cup", 90 - 10 * i, 10 * i, extra={"id": i}) for i in range(5)]
    dogs = [thing("dog", 50, 90), thing("dog", 0, 50)]
    crowd = thing("cup", 0, 90, ignore=True)
    bird = Instance("bird", point=np.array([3.0, 3.0]))
    annotation = Annotation(SIZE, [*cups, *dogs, thing("cat", 0, 0), crowd, bird], absent=["bus"])
    return Sample(Image.new("RGB", SIZE), annotation, "here:1")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def examples(task, sample, number=60, training=True):
    return [task.example(sample, rng(seed), training) for seed in range(number)]


def category(example):
    return example.target.instances[0].extra["category"]


def test_the_prompt_is_the_public_one_and_shows_the_references(sample):
    example = VisualPromptTask().example(sample, rng(), training=False)
    start, _, rest = example.prompt.partition(" {")
    inside, _, end = rest.partition("} ")
    assert start == "Given reference boxes"
    assert end == (
        "indicating one or more objects, "
        "find all similar objects in the image and output their bounding boxes."
    )
    shown = [i.bbox for i in example.target.instances if i.extra["reference"]]
    written = read_references(f"{{{inside}}}", SIZE)
    assert list(written) == ["object_1"]
    assert np.abs(written["object_1"] - shown).max() < 100 / 999


def test_the_answer_is_all_of_the_category_references_included(sample):
    for example in examples(VisualPromptTask(), sample):
        of_category = [i for i in sample.annotation.of(category(example)) if not i.ignore]
        prediction = read(example.response, SIZE)
        assert prediction.phrases == example.phrases == ["object_1"]
        assert len(prediction.boxes()) == len(of_category)
        assert np.abs(prediction.boxes() - [i.bbox for i in of_category]).max() < 100 / 999
        assert (example.task, example.source) == ("visual_prompting", "here:1")


def test_the_target_keeps_what_is_known_and_marks_what_was_shown(sample):
    by_category = {category(e): e for e in examples(VisualPromptTask(), sample)}
    target = by_category["cup"].target
    assert [i.extra.get("id") for i in target.instances] == [0, 1, 2, 3, 4, None]
    assert [i.ignore for i in target.instances] == [False] * 5 + [True]
    assert not target.instances[5].extra["reference"]
    assert "reference" not in sample.annotation.instances[0].extra
    assert not target.absent


def test_training_draws_category_and_references(sample):
    task = VisualPromptTask(num_references=(1, 3))
    drawn = examples(task, sample, 200)
    assert set(map(category, drawn)) == {"cup", "dog", "cat"}  # no box of the bird is known
    numbers: dict[str, Counter[int]] = {"cup": Counter(), "dog": Counter(), "cat": Counter()}
    for example in drawn:
        shown = sum(i.extra["reference"] for i in example.target.instances)
        numbers[category(example)][shown] += 1
    assert set(numbers["cup"]) == {1, 2, 3}
    assert set(numbers["dog"]) == set(numbers["cat"]) == {1}  # one of two is left to be found
    assert len({e.prompt for e in drawn}) > 20
    again = task.example(sample, rng(7), training=True)
    assert (again.prompt, again.response) == (drawn[7].prompt, drawn[7].response)


def test_testing_depends_on_the_sample_alone(sample):
    assert (
        len({(e.prompt, e.response) for e in examples(VisualPromptTask(), sample, 20, False)}) == 1
    )
    data = ShapesDataset(60, num_objects=(3, 3), num_absent=(0, 0))
    first = [VisualPromptTask().example(data[i], rng(), False) for i in range(60)]
    again = [VisualPromptTask().example(data[i], rng(9), False) for i in range(60)]
    assert [e.prompt for e in first] == [e.prompt for e in again]
    assert len(set(map(category, first))) > 6


def test_references_of_the_data_set_are_the_ones(sample):
    for number in (1, 3):
        sample.annotation.instances[number].extra["reference"] = True
    for example in examples(VisualPromptTask(), sample, 9):
        assert [n for n, i in enumerate(example.target.instances) if i.extra["reference"]] == [1, 3]
        assert category(example) == "cup"


def test_left_to_right(sample):
    for example in examples(VisualPromptTask(left_to_right=True), sample, 20):
        lefts = read(example.response, SIZE).boxes()[:, 0].tolist()
        assert lefts == sorted(lefts)


def test_ask_is_the_question_of_testing(sample):
    task = VisualPromptTask()
    example = task.example(sample, rng(), training=False)
    shown = np.array([i.bbox for i in example.target.instances if i.extra["reference"]])
    question = task.question(SIZE, QuestionArguments(visual_prompt_boxes=shown))
    assert (question.prompt, question.phrases) == (example.prompt, example.phrases)
    assert task.question(SIZE, QuestionArguments(visual_prompt_boxes=shown[0])).phrases == [
        "object_1"
    ]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (dict(), "visual_prompt_boxes: the task 'visual_prompting' needs"),
        (dict(visual_prompt_boxes=[]), "visual_prompt_boxes must be"),
        (dict(visual_prompt_boxes=[[1, 2, 3]]), "visual_prompt_boxes must be"),
        (dict(visual_prompt_boxes=[[9, 9, 1, 1]]), "x0 <= x1"),
        (dict(visual_prompt_boxes=[[0, 0, np.nan, 1]]), "finite"),
        (dict(visual_prompt_boxes=[[0, 0, 1, 1]], categories=["cup"]), "categories"),
        (dict(visual_prompt_boxes=[[0, 0, 1, 1]], keypoint_type="hand"), "keypoint_type"),
    ],
)
def test_ask_names_what_is_wrong(wrong, name):
    with pytest.raises(ValueError, match=name):
        VisualPromptTask().question(SIZE, QuestionArguments(**wrong))


def test_nothing_to_show_is_an_error(sample):
    sample.annotation.instances = [Instance("bird", point=np.array([3.0, 3.0]))]
    with pytest.raises(DataError, match=r"here:1.*no reference boxes"):
        VisualPromptTask().example(sample, rng(), training=True)


@pytest.mark.parametrize("wrong", [dict(templates=["Find it."]), dict(num_references=(0, 1))])
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VisualPromptTask(**wrong)
