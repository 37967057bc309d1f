"""The tasks: the public words, one element at a time, checked configs."""

from __future__ import annotations

import numpy as np
import pytest
from rexkit_plugin_gui import SyntheticScreenshotDataset

from rexkit import METRICS, PARSERS, TASK_FNS
from rexkit.errors import ConfigError
from rexkit.tasks import QuestionArguments

GROUNDING, POINTING = dict(type="GUIGroundingTask"), dict(type="GUIPointingTask")


@pytest.mark.parametrize(
    ("cfg", "name", "prompt"),
    [
        (GROUNDING, "gui_grounding", 'Detect element "log in"" in the image.'),
        (POINTING, "gui_pointing", 'Point to element "log in".'),
    ],
)
def test_public_prompts(cfg, name, prompt):
    task = TASK_FNS.build(cfg)
    assert task.name == name
    assert task.question((640, 480), QuestionArguments(["log in"])).prompt == prompt


@pytest.mark.parametrize("cfg", [GROUNDING, POINTING])
def test_the_truth_as_answer_is_a_right_click(cfg):
    task = TASK_FNS.build(cfg)
    parse = PARSERS.build(task.parser)
    metrics = [METRICS.build(dict(type=name)) for name in task.metrics]
    prompts = set()
    for number, sample in enumerate(SyntheticScreenshotDataset(30, num_absent=(0, 0))):
        example = task.example(sample, np.random.default_rng(number), training=True)
        assert len(example.phrases) == 1
        prompts.add(example.prompt.replace(example.phrases[0], "…"))
        prediction = parse(example.response, sample.image.size)
        assert not prediction.problems
        for metric in metrics:
            metric.add(prediction, example.target)
    assert len(prompts) == 3
    values = {k: v for metric in metrics for k, v in metric.compute().items()}
    assert values["click_accuracy"] == values["click_accuracy/text"] == 1.0
    assert values["clicks"] == 30
    assert values.get("f1@0.5", values.get("f1")) == 1.0


def test_several_elements_at_once():
    sample = SyntheticScreenshotDataset(1, num_elements=(3, 3))[0]
    task = TASK_FNS.build(dict(num_categories=None, **GROUNDING))
    example = task.example(sample, np.random.default_rng(0), training=False)
    assert example.phrases == sorted(sample.annotation.phrases)
    assert example.response.endswith("<|box_end|>")


def test_arguments_are_checked():
    with pytest.raises(ConfigError, match="'num_negatives'"):
        TASK_FNS.build(dict(num_negative=1, **POINTING))
    assert TASK_FNS.build(dict(templates=["Where is {phrases}?"], **POINTING)).question(
        (9, 9), QuestionArguments(["x"])
    )
