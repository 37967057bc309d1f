"""Where results and prediction records are looked for, and what is in their files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rexkit.datasets import ShapesDataset
from rexkit.errors import UserError
from rexkit.evaluation import analyse, compare
from rexkit.evaluation.evaluator import evaluate
from rexkit.evaluation.results_folder import (
    DatasetResults,
    find_record_files,
    find_results,
    readable_name,
    write_metrics,
    write_per_category,
)
from rexkit.examples import ExampleDataset, Source
from rexkit.formats.predictions import PredictionRecord
from rexkit.structures import Prediction
from rexkit.tasks import GroundingTask


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")


def test_a_test_that_starts_again_empties_the_folder(tmp_path):
    with DatasetResults(tmp_path / "COCO") as results:
        results.add({"index": 0})
    for name in ("metrics.json", "per_category.json"):
        (tmp_path / "COCO" / name).write_text("{}")
    with DatasetResults(tmp_path / "COCO") as results:
        assert [f.name for f in (tmp_path / "COCO").iterdir()] == ["predictions.jsonl"]
        results.add({"index": 1})
        # A test that is killed here keeps the record.
        assert (tmp_path / "COCO" / "predictions.jsonl").read_text() == '{"index": 1}\n'


@pytest.mark.parametrize(
    ("files", "root", "found"),
    [
        (
            ["box_eval/B/predictions.jsonl", "box_eval/A/predictions.jsonl", "predictions.jsonl"],
            "",
            [("box_eval/A/predictions.jsonl", "A"), ("box_eval/B/predictions.jsonl", "B")],
        ),
        (
            ["after/box_eval/A/predictions.jsonl", "completions/step_00010/completions.jsonl"],
            "after",
            [("after/box_eval/A/predictions.jsonl", "A")],
        ),
        (
            ["predictions.jsonl", "completions.jsonl"],
            "",
            [("predictions.jsonl", "predictions")],
        ),
        (["completions.jsonl"], "", [("completions.jsonl", "completions")]),
        (
            ["step_00010/completions.jsonl"],
            "",
            [("step_00010/completions.jsonl", "step_00010")],
        ),
        (
            [
                "completions/step_00010/completions.jsonl",
                "completions/step_00000/completions.jsonl",
            ],
            "",
            [
                ("completions/step_00000/completions.jsonl", "step_00000"),
                ("completions/step_00010/completions.jsonl", "step_00010"),
            ],
        ),
    ],
)
def test_the_files_of_records_in_a_folder(tmp_path, files, root, found):
    touch(*(tmp_path / file for file in files))
    folder, records = find_record_files(tmp_path)
    assert folder == tmp_path / root
    assert [(r.path, r.dataset) for r in records] == [(tmp_path / f, name) for f, name in found]


def test_a_file_of_records_is_found_by_itself(tmp_path):
    touch(tmp_path / "mine.jsonl")
    folder, (record,) = find_record_files(tmp_path / "mine.jsonl")
    assert (folder, record.path, record.dataset) == (tmp_path, tmp_path / "mine.jsonl", "mine")


@pytest.mark.parametrize(
    ("file", "task", "expected"),
    [
        ("box_eval/COCO/predictions.jsonl", "detection", ("box_eval", "COCO")),
        ("predictions.jsonl", "detection", ("detection", "predictions")),
        ("predictions.jsonl", "", ("unknown task", "predictions")),
    ],
)
def test_a_record_belongs_to_the_folder_of_its_task_or_to_its_task(tmp_path, file, task, expected):
    touch(tmp_path / file)
    _, (found,) = find_record_files(tmp_path)
    assert found.result_name(PredictionRecord("a.png", task, "", [], None)) == expected


def test_a_dataset_is_named_by_its_class():
    named = [type(name, (), {})() for name in ("CocoDataset", "Mine", "Dataset")]
    assert [readable_name(dataset) for dataset in named] == ["Coco", "Mine", "Dataset"]


class PerCategory:
    def __init__(self, values: dict[str, dict[str, float]]):
        self.values = values

    def per_category(self) -> dict[str, dict[str, float]]:
        return self.values


def test_values_of_a_category_are_those_of_all_metrics(tmp_path):
    metrics: list[Any] = [PerCategory({"café": {"f1": 0.5}}), PerCategory({"café": {"ap": 0.25}})]
    write_per_category([PerCategory({})], tmp_path)  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []
    write_per_category(metrics, tmp_path)
    text = (tmp_path / "per_category.json").read_text("utf-8")
    assert json.loads(text) == {"café": {"f1": 0.5, "ap": 0.25}}
    assert "café" in text


def test_results_of_a_test_go_before_those_at_the_end_of_a_training(tmp_path):
    write_metrics({"f1": 0.5}, tmp_path / "after" / "box_eval" / "COCO")
    assert find_results(tmp_path) == {("box_eval", "COCO"): {"f1": 0.5}}
    write_metrics({"f1": 0.75}, tmp_path / "point_eval" / "Shapes")
    assert find_results(tmp_path) == {("point_eval", "Shapes"): {"f1": 0.75}}


@pytest.mark.parametrize(
    ("text", "message"), [("{", "bad JSON"), ("[1]", "expected a JSON object")]
)
def test_a_file_of_no_metrics_is_named(tmp_path, text, message):
    write_metrics({}, tmp_path / "box_eval" / "COCO")
    file = tmp_path / "box_eval" / "COCO" / "metrics.json"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        find_results(tmp_path)
    assert str(error.value).startswith(str(file))


def half_a_test(folder: Path) -> Path:
    """Leave what a test leaves that is killed after one of two records, and its earlier results."""
    write_metrics({"f1": 0.9}, folder)
    write_metrics({"f1": 0.9}, folder / "box_eval" / "A")
    record = PredictionRecord("a.png", "detection", "Detect.", ["cup"], Prediction((9, 9), []))
    with suppress(KeyboardInterrupt), DatasetResults(folder / "box_eval" / "A", 2) as results:
        results.add(record.to_dict())
        raise KeyboardInterrupt
    return folder


def test_half_a_test_is_not_taken_for_a_whole_one(tmp_path, caplog):
    folder = half_a_test(tmp_path)
    found = analyse(folder)
    assert "1 of 2 samples; the test was stopped before its end" in caplog.text
    _, rows = found.table()
    assert rows[0] == ["unfinished", "yes", "tests that were stopped before their end"]
    caplog.clear()
    assert compare([folder, folder]).rows[0].values == [1.0, 1.0]  # of the records
    assert caplog.text.count("1 of 2 samples") == 2
    write_metrics({"f1": 0.5}, folder / "box_eval" / "B")
    caplog.clear()
    assert list(find_results(folder)) == [("box_eval", "B")]
    assert "A has no metrics.json: its test did not end" in caplog.text
    # The records alone, as where the folder was copied without the rest.
    (folder / "box_eval" / "A" / "test.json").unlink()
    caplog.clear()
    assert analyse(folder).unfinished
    write_metrics({"f1": 0.5}, folder / "box_eval" / "A")
    assert not analyse(folder).unfinished


def test_a_new_test_removes_the_values_over_all_data_sets(tmp_path):
    class Killed:
        def generate(self, requests):
            raise KeyboardInterrupt

    for name in ("metrics.json", "results.md", "results.csv"):
        (tmp_path / name).write_text("old")
    data = ExampleDataset([Source(ShapesDataset(2), GroundingTask())])
    with pytest.raises(KeyboardInterrupt):
        evaluate(Killed(), data, out_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["box_eval"]
    assert json.loads((tmp_path / "box_eval" / "Shapes" / "test.json").read_text()) == {
        "samples": 2
    }


@pytest.mark.parametrize("text", ['{"f1": "x"}', '{"f1": [1]}', "[" * 10**5, "", "[]", "{"])
def test_metrics_that_are_no_numbers_are_named(tmp_path, text):
    (tmp_path / "box_eval" / "A").mkdir(parents=True)
    (tmp_path / "box_eval" / "A" / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"A/metrics\.json: .*test again, or remove"):
        find_results(tmp_path)
