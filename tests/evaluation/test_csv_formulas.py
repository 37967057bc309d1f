"""Texts of datasets and models in CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

from rexkit.evaluation.tables import write_csv


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["=1+1", "value"], [["@SUM(A1)", -0.5], ["cup", 1.0]])
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["'=1+1", "value"], ["'@SUM(A1)", "-0.5"], ["cup", "1.0"]]
