"""Which run is best in a metric, and the names and results of runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexkit.evaluation.comparison import MetricRow, compare, short_names


def row(metric: str, *values: float | None) -> MetricRow:
    return MetricRow("box_eval", "COCO", metric, list(values))


@pytest.mark.parametrize("metric", ["f1@0.5", "ap[score=constant]", "hmean", "1-ned", "reward"])
def test_the_highest_value_is_best(metric):
    assert row(metric, 0.5, None, 0.75, 0.75).best == [False, False, True, True]


@pytest.mark.parametrize(
    "metric",
    [
        *("counting_mae", "counting_relative", "problem_rate", "truncated_rate", "errors"),
        *("seconds_per_sample", "reward_errors/mine"),
    ],
)
def test_the_lowest_value_of_an_error_is_best(metric):
    assert row(metric, 0.5, None, 0.75, 0.5).best == [True, False, False, True]


@pytest.mark.parametrize(
    "metric",
    ["absent", "samples", "instances_per_sample", "output_tokens_per_sample", "e2e/targets"],
)
def test_a_count_has_no_best(metric):
    assert row(metric, 1.0, 2.0).best == [False, False]


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.5, None), (None, None)])
def test_equal_values_have_no_best(values):
    assert row("f1", *values).best == [False, False]


def test_differences_are_to_the_first_run():
    assert row("f1", 0.5, 0.75, 0.25, None).cells()[1:3] == ["0.7500 (+0.2500)", "0.2500 (-0.2500)"]
    assert row("f1", None, 0.75).cells()[1] == "0.7500"


def test_names_are_the_last_parts_that_tell_folders_apart(tmp_path, monkeypatch):
    assert short_names([Path("a/x/test"), Path("b/x/test")]) == ["a/x/test", "b/x/test"]
    assert short_names([Path("a/one"), Path("b/two")]) == ["one", "two"]
    assert short_names([Path("a/one"), Path("a/one")]) == ["one", "one"]
    monkeypatch.chdir(tmp_path)
    assert short_names([Path()]) == [tmp_path.name]


def test_a_folder_of_neither_results_nor_records_is_an_error_about_results(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no results"):
        compare([tmp_path])
