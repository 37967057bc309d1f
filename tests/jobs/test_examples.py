"""Examples: errors name the sample and the key, and the parser of a source."""

from __future__ import annotations

from typing import Any

import pytest

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError, DataError
from rexkit.examples import ExampleDataset, Source, build_examples
from rexkit.parsers import SpanParser
from rexkit.tasks import GroundingTask

SHAPES = dict(type="ShapesDataset", size=2)
GROUNDING = dict(type="GroundingTask")


class BrokenTask(GroundingTask):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def example(self, *args: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no boxes"), "ShapesDataset(seed=0)[1]: BrokenTask: no boxes"),
        (KeyError("boxes"), "ShapesDataset(seed=0)[1]: BrokenTask: KeyError('boxes')"),
        (DataError("no boxes"), "ShapesDataset(seed=0)[1]: no boxes"),
        (DataError("no boxes", "a.json:3"), "a.json:3: no boxes"),
    ],
)
def test_an_error_of_a_task_names_the_sample_and_keeps_its_cause(error, message):
    examples = ExampleDataset([Source(ShapesDataset(2), BrokenTask(error))])
    with pytest.raises(DataError) as raised:
        examples[1]
    assert str(raised.value) == message
    assert error in (raised.value, raised.value.__cause__)


def test_an_error_of_a_transform_names_the_sample():
    def halve(sample, rng):
        return 1 // 0

    examples = ExampleDataset([Source(ShapesDataset(2), GroundingTask(), [halve])])
    with pytest.raises(DataError, match=r"ShapesDataset\(seed=0\)\[0\]: halve: ZeroDivisionError"):
        examples[0]


def test_all_errors_of_all_sources_are_reported_at_once():
    cfg = [
        dict(dataset=dict(SHAPES, colors=["octarine"]), task=dict(GROUNDING, templates=["Find."])),
        dict(task=GROUNDING, wieght=1, transforms=[dict(type="ColorJiter")]),
        dict(dataset=SHAPES, task=GROUNDING, weight=-1, name="a/b"),
    ]
    with pytest.raises(ConfigError) as error:
        build_examples(cfg, "train_data", 0, True)
    keys = [line.partition(": ")[0] for line in str(error.value).splitlines()[1:]]
    assert keys == [
        "- train_data.0.dataset.colors",
        "- train_data.0.task.templates",
        "- train_data.1.dataset",
        "- train_data.1.transforms.0.type",
        "- train_data.1.wieght",
        "- train_data.2.name",
        "- train_data.2.weight",
    ]


def test_the_parser_is_that_of_the_source_the_config_or_the_task():
    inline, phrase = (dict(type="SpanParser", transcription=t) for t in ("inline", "phrase"))
    cfg = [
        dict(dataset=SHAPES, task=GROUNDING, parser=inline),
        dict(dataset=SHAPES, task=GROUNDING),
    ]
    examples = build_examples(cfg, "test_data", 0, False, parser=phrase)
    assert [s.parser.transcription for s in examples.sources] == ["inline", "phrase"]
    plain = build_examples(cfg, "test_data", 0, False)
    assert isinstance(plain.sources[1].parser, SpanParser)
    assert plain.sources[1].parser.transcription is None
    with pytest.raises(ConfigError, match=r"^parser\.type: "):
        build_examples(cfg[1], "test_data", 0, False, parser=dict(type="SpanParse"))
