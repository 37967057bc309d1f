"""The check of a source: what is made of it, and the config key of what cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source
from rexkit.grammar import read
from rexkit.metrics import CountingError
from rexkit.source_check import check_source
from rexkit.tasks import GroundingTask, PointingTask


def broken_parser(text: str, image_size: tuple[int, int]) -> Any:
    raise ValueError("no parser")


class BrokenMetric(CountingError):  # noqa: N818
    """A metric that fails on every prediction."""

    def add(self, *args: Any) -> None:
        raise ValueError("no metric")


METRIC_CONFIGS = [dict(type="CountingError"), dict(type=BrokenMetric)]


def examples_of(parser: Any = read, task: Any = None) -> ExampleDataset:
    source = Source(ShapesDataset(2, image_size=(96, 32)), task or GroundingTask(), parser=parser)
    return ExampleDataset([source])


def test_every_task_of_a_source_is_checked():
    several = ExampleDataset([Source(ShapesDataset(2), [GroundingTask(), PointingTask()])])
    checked = check_source(several, 0, "train_data", None)
    examples = several[0]
    assert checked.prompts == [example.prompt for example in examples]
    assert checked.responses == [example.response for example in examples]
    assert [prompt.split()[0] for prompt in checked.prompts] == ["Detect", "Point"]


def test_the_parser_gets_the_response_and_the_size_of_the_image():
    given = []
    examples = examples_of(lambda text, size: given.append((text, size)) or read(text, size))
    check_source(examples, 0, "test_data", None)
    assert given == [(examples[0].response, (96, 32))]


def test_an_error_of_the_parser_has_its_key():
    with pytest.raises(ConfigError, match=r"^val_data\.1\.parser: no parser$"):
        check_source(examples_of(broken_parser), 0, "val_data.1", ())


@pytest.mark.parametrize(
    ("own", "metrics", "key"),
    [
        (METRIC_CONFIGS, None, r"test_data\.task\.metrics\.1"),
        ([], METRIC_CONFIGS, r"metrics\.1"),
    ],
)
def test_an_error_of_a_metric_has_its_key(own, metrics, key):
    task = GroundingTask()
    task.metrics = own
    with pytest.raises(ConfigError, match=rf"^{key}: no metric$"):
        check_source(examples_of(task=task), 0, "test_data", metrics)
