"""Prompt variety, wordings and negatives: drawn in training only, by the generator alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rexkit.errors import ConfigError
from rexkit.examples import build_examples
from rexkit.phrases import normalise_phrase
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.tasks.named import task_names
from rexkit.tasks.negative_sampling import NegativeSampler
from rexkit.tasks.prompt_sets import PROMPT_SETS
from rexkit.tasks.wordings import plural

TYPES = {"GroundingTask", "PointingTask", "OCRBoxTask", "OCRPolygonTask", "KeypointTask",
         "VisualPromptTask"}  # fmt: skip


def sample(*phrases: str) -> Sample:
    boxes = [Instance(p, bbox=[n, n, n + 9, n + 9]) for n, p in enumerate(phrases)]
    return Sample(Image.new("RGB", (32, 32)), Annotation((32, 32), boxes), "row")


def example(task, *phrases: str, seed: int = 0, training: bool = True):
    return task.example(sample(*phrases), np.random.default_rng(seed), training)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_task_has_its_own_set_with_its_placeholders(name):
    kind = TASK_FNS.get(name)
    task = TASK_FNS.build(dict(type=name, templates="diverse"))
    own = PROMPT_SETS[kind.name]
    assert task.prompt_templates == (*kind.templates, *own)
    assert len({normalise_phrase(t) for t in task.prompt_templates}) == len(task.prompt_templates)
    assert len(own) >= 10
    assert kind.templates == TASK_FNS.build(dict(type=name)).prompt_templates


def test_grounding_has_forty_of_its_own():
    assert len(PROMPT_SETS["detection"]) >= 40
    assert set(PROMPT_SETS) <= set(task_names())


def test_diverse_prompts_are_drawn_in_training_and_never_in_tests():
    diverse, plain = GroundingTask("diverse"), GroundingTask()
    prompts = {example(diverse, "cup", "dog", seed=seed).prompt for seed in range(600)}
    assert len(prompts) > 120  # templates, the order of phrases, and how they are listed
    for style in ("cup and dog", "cup; dog", "dog, cup"):
        assert any(style in prompt for prompt in prompts)
    assert len({example(plain, "cup", seed=s).prompt for s in range(60)}) <= 5
    test = [example(task, "dog", "cup", training=False).prompt for task in (diverse, plain)]
    assert test[0] == test[1] == plain.prompt(["cup", "dog"])
    assert example(diverse, "cup", seed=9).prompt == example(diverse, "cup", seed=9).prompt


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            dict(templates="divers"),
            r"templates: expected a list of strings or 'diverse', got 'divers'; did you mean",
        ),
        (dict(plural_rate=2), r"plural_rate: must be from 0 to 1"),
        (dict(synonyms=["cup"]), r"synonyms: expected a dict"),
        (dict(synonyms={"cup": "mug"}), r"synonyms: 'cup' must have a list"),
        (dict(synonyms={"cup": ["<0>"]}), r"synonyms: 'cup': .*special token"),
        (dict(negatives="hard"), r"negatives: 'hard' is not one of"),
        (dict(negatives={"random": -1}), r"negatives: the share of 'random'"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_its_key(task, message):
    cfg = dict(dataset=dict(type="ShapesDataset", size=1), task=dict(type="GroundingTask", **task))
    with pytest.raises(ConfigError, match=r"^train_data\.task\." + message):
        build_examples(cfg, "train_data", 0, True)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        *(("cup", "cups"), ("bus", "buses"), ("berry", "berries"), ("toy", "toys")),
        *(("wine glass", "wine glasses"), ("fireman", "firemen"), ("human", "humans")),
        *(("slice of pizza", "slices of pizza"), ("the man", "the man"), ("sheep", "sheep")),
        *(
            ("Platelets", "Platelets"),
            ("RBC", "RBC"),
            ("人", "人"),
            ("person", "people"),
            ("of", "of"),
        ),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many


def test_wordings_are_in_prompt_response_and_target_alike():
    task = GroundingTask(synonyms={"car": ["automobile", "auto"]}, plural_rate=0.5)
    seen: Counter[str] = Counter()
    for seed in range(400):
        made = example(task, "car", "dog", seed=seed)
        assert set(made.phrases) == set(made.target.phrases)
        for phrase in made.phrases:
            assert phrase in made.prompt
            assert f"<|object_ref_start|>{phrase}<|object_ref_end|>" in made.response
        seen.update(made.phrases)
    assert set(seen) == {"car", "cars", "automobile", "automobiles", "auto", "autos", "dog", "dogs"}
    assert 130 < seen["dogs"] < 270
    assert 90 < seen["auto"] + seen["autos"] < 180
    assert example(task, "car", training=False).phrases == ["car"]


def test_no_wording_means_another_phrase_and_no_negative_means_one_of_the_image():
    task = GroundingTask(
        synonyms={"car": ["vehicle"], "truck": ["vehicle"]},
        plural_rate=0.5,
        extra_categories=["vehicle", "cars", "trucks", "automobile", "yak"],
        num_negatives=5,
    )
    for seed in range(100):
        assert not {"vehicle", "vehicles"} & set(example(task, "car", "truck", seed=seed).phrases)
        alone = example(task, "car", seed=seed)
        assert set(alone.target.absent) <= {"automobile", "yak", "trucks"}
        assert "yak" in alone.target.absent


POOL = ["wine glass", "fire truck", "keyboard", "monitor", "zebra", "yak"]


def frequencies(kinds, phrases, rows=(), number: int = 1, draws: int = 300) -> Counter[str]:
    sampler = NegativeSampler(kinds)
    sampler.count_rows(rows)
    found: Counter[str] = Counter()
    for seed in range(draws):
        drawn = sampler.draw(phrases, POOL, number, np.random.default_rng(seed))
        assert len(set(drawn)) == number
        found.update(drawn)
    return found


def test_confusable_and_cooccurring_negatives_come_first():
    assert frequencies("confusable", ["glass"])["wine glass"] > 240
    rows = [["mouse", "keyboard"]] * 6 + [["mouse", "monitor"]] * 2 + [["zebra", "yak"]]
    beside = frequencies("cooccurring", ["mouse"], rows)
    assert set(beside) == {"keyboard", "monitor"}
    assert 190 < beside["keyboard"] < 260
    both = frequencies({"cooccurring": 1, "random": 1}, ["mouse"], rows)
    assert len(both) == 6
    assert 110 < both["keyboard"] < 180  # three quarters of a half, a sixth of the other
    assert frequencies("cooccurring", ["mouse"], rows, number=6) == dict.fromkeys(POOL, 300)


def test_random_negatives_are_those_of_before():
    rng, same = np.random.default_rng(4), np.random.default_rng(4)
    drawn = NegativeSampler().draw(["cup"], POOL, 2, rng)
    assert drawn == [POOL[i] for i in same.permutation(len(POOL))[:2]]


def test_a_source_counts_the_rows_of_its_dataset():
    task = PointingTask(extra_categories=["red circle"], negatives="cooccurring")
    cfg = dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask"))
    data = build_examples(cfg, "train_data", 0, True)
    data.sources[0].task = task
    data._make_plan()
    counted = task.negatives._beside
    rows = [{i.phrase for i in data.sources[0].dataset[n].annotation.instances} for n in range(8)]
    pair = next(row for row in rows if len(row) > 1)
    one, other, *_ = sorted(pair)
    assert counted[normalise_phrase(one)][normalise_phrase(other)] == sum(
        {one, other} <= row for row in rows
    )
