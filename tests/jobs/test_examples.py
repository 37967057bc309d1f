"""Examples: errors name the sample and the key, and the parser of a source."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("error", [ValueError("no index"), DataError("no index")])
def test_an_error_of_the_length_of_a_dataset_has_its_key(error):
    class Endless(ShapesDataset):
        def __len__(self):
            raise error

    cfg = dict(dataset=dict(type=Endless), task=GROUNDING)
    with pytest.raises((ConfigError, DataError), match=r"^train_data\.dataset: .*no index"):
        build_examples(cfg, "train_data", 0, True)


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


def drawn(examples: ExampleDataset, epoch: int = 0) -> list[str]:
    """The samples of an epoch."""
    return [examples[epoch, i].source for i in range(len(examples))]


def shapes(*numbers: int, seed: int = 0) -> list[str]:
    return [f"ShapesDataset(seed={seed})[{number}]" for number in numbers]


@pytest.mark.parametrize(
    ("size", "weight", "length"), [(4, 1.0, 4), (4, 2.5, 10), (4, 0.1, 1), (3, 0.6, 2)]
)
def test_the_weight_is_the_length_of_a_source_in_datasets(size, weight, length):
    assert len(Source(ShapesDataset(size), GroundingTask(), weight=weight)) == length


def test_epochs_go_on_where_the_last_ended_and_sources_follow_each_other():
    half = Source(ShapesDataset(4), GroundingTask(), weight=0.5)
    other = Source(ShapesDataset(3, seed=1), GroundingTask())
    examples = ExampleDataset([half, other])
    assert drawn(examples) == [*shapes(0, 1), *shapes(0, 1, 2, seed=1)]
    assert drawn(examples, 1) == [*shapes(2, 3), *shapes(0, 1, 2, seed=1)]
    assert drawn(examples, 2) == drawn(examples)
    assert [examples.source_of(i) for i in range(5)] == [0, 0, 1, 1, 1]
    assert [examples.first_index(number) for number in (0, 1)] == [0, 2]


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_out_of_range_is_an_error(index):
    examples = ExampleDataset([Source(ShapesDataset(2), GroundingTask())])
    with pytest.raises(IndexError, match=f"^example {index} of 2$"):
        examples[index]


def test_random_choices_depend_on_seed_epoch_and_index():
    given: dict[tuple[int, int, int], float] = {}

    def choices(seed: int, epoch: int, index: int) -> float:
        found = []
        transform = lambda sample, rng: found.append(rng.random()) or sample  # noqa: E731
        examples = ExampleDataset([Source(ShapesDataset(2), GroundingTask(), [transform])], seed)
        examples[epoch, index]
        return found[0]

    for key in np.ndindex(2, 2, 2):
        given[key] = choices(*key)
    assert len({*given.values()}) == 8
    assert {key: choices(*key) for key in given} == given


def test_the_skipped_samples_are_those_of_all_sources():
    sources = [Source(ShapesDataset(1), GroundingTask()) for _ in range(2)]
    for number, source in enumerate(sources):
        source.dataset.skipped = [DataError("no image", f"{number}.json:1")]
    assert ExampleDataset(sources).skipped == ["0.json:1: no image", "1.json:1: no image"]


@pytest.mark.parametrize(("training", "tasks"), [(True, [2]), (False, [1, 1])])
def test_several_tasks_are_one_source_in_training_only(training, tasks):
    cfg = dict(dataset=SHAPES, task=[GROUNDING, dict(type="PointingTask")], weight=2.0)
    examples = build_examples(cfg, "train_data", 0, training)
    assert [len(s.task) if isinstance(s.task, list) else 1 for s in examples.sources] == tasks
    assert [len(s) for s in examples.sources] == [4] * len(tasks)
    asked = examples[0] if training else [examples[0], examples[4]]
    assert [example.task for example in asked] == ["detection", "pointing"]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ([], r"^data: an empty list has no examples"),
        ("shapes", r"^data: expected dict\(dataset=…, task=…\), got 'shapes'"),
        ([SHAPES["type"]], r"^data\.0: expected dict"),
        (dict(dataset=SHAPES), r"^data\.task: missing"),
        (dict(dataset=SHAPES, task=[]), r"^data\.task: an empty list asks nothing"),
        (dict(dataset=dict(SHAPES, size=0), task=GROUNDING), r"^data\.dataset"),
        *(
            (dict(dataset=SHAPES, task=GROUNDING, name=name), r"^data\.name: .* name of a folder")
            for name in ("..", "a/b")
        ),
        *(
            (dict(dataset=SHAPES, task=GROUNDING, weight=weight), r"^data\.weight: must be")
            for weight in (0, -0.5, float("nan"), float("inf"))
        ),
        (dict(dataset=SHAPES, task=GROUNDING, weight="1"), r"^data\.weight: expected a number"),
        (dict(dataset=SHAPES, task=GROUNDING, name=3), r"^data\.name: expected a string"),
    ],
)
def test_a_source_that_cannot_be_used_is_an_error_with_its_key(cfg, message):
    with pytest.raises(ConfigError, match=message):
        build_examples(cfg, "data", 0, True)


def rows_of(tmp_path, *records: dict[str, Any]) -> dict[str, Any]:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    lines = [json.dumps({"image": "a.png", "annotation": record}) for record in records]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return dict(type="JsonlDataset", ann_file=str(tmp_path / "rows.jsonl"))


CUP = {"phrase": "cup", "bbox": [1, 1, 40, 9]}
EMPTY: dict[str, Any] = {"boxes": []}
WORD = {"phrase": "word", "polygon": [1, 1, 9, 1, 9, 9], "text": "EXIT"}


def test_an_image_without_boxes_is_asked_for_negatives(tmp_path):
    dataset = rows_of(tmp_path, {"boxes": [CUP]}, EMPTY)
    task = dict(GROUNDING, extra_categories=["cat"])
    for on_error in ("raise", "skip"):
        examples = build_examples(
            dict(dataset=dict(dataset, on_error=on_error), task=task), "train_data", 0, True
        )
        assert len(examples) == 2
        assert examples[1].phrases == examples[1].target.absent == ["cat"]
        assert examples.skipped == []


def test_rows_that_a_task_cannot_ask_about_are_skipped_on_request(tmp_path, caplog):
    dataset = rows_of(
        tmp_path, EMPTY, {"boxes": [CUP]}, EMPTY, {"instances": [WORD]}, {"boxes": [CUP]}
    )
    cfg = dict(dataset=dataset, task=GROUNDING)
    with pytest.raises(DataError, match=r"rows\.jsonl:1.*on_error='skip'"):
        build_examples(cfg, "data", 0, True)[0]
    dataset["on_error"] = "skip"
    examples = build_examples(cfg, "data", 0, True)
    assert [examples[i].source[-2:] for i in range(len(examples))] == [":2", ":5"]
    assert [line.split(": ")[0][-2:] for line in examples.skipped] == [":1", ":3", ":4"]
    assert "on_error" not in "".join(examples.skipped)
    assert "data: 3 of 5 rows are skipped" in caplog.text
    assert drawn(examples, 1) == drawn(examples)


def test_rows_are_skipped_for_each_task_of_a_test_and_for_all_in_training(tmp_path):
    dataset = rows_of(tmp_path, EMPTY, {"boxes": [CUP]}, {"instances": [WORD]})
    dataset["on_error"] = "skip"
    cfg = dict(dataset=dataset, task=[GROUNDING, dict(type="OCRPolygonTask")])
    test = build_examples(cfg, "test_data", 0, training=False)
    # The text of no instance is known in row 2, and row 3 has no box.
    assert [len(source) for source in test.sources] == [1, 2]
    assert [source[-2:] for source in drawn(test)] == [":2", ":1", ":3"]
    with pytest.raises(ConfigError, match=r"train_data: no row of the dataset can be used; .*:1: "):
        build_examples(cfg, "train_data", 0, training=True)


def test_the_report_of_clamped_boxes_names_each_dataset_once(tmp_path):
    dataset = rows_of(tmp_path, {"boxes": [CUP]}, {"boxes": [CUP, CUP]})
    cfg = dict(dataset=dataset, task=[GROUNDING, dict(type="PointingTask")])
    examples = build_examples(cfg, "test_data", 0, training=False)
    assert examples.reports == []
    drawn(examples)
    [report] = examples.reports
    assert report.startswith("3 boxes in 2 rows leave their image")
