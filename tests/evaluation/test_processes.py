"""A test divided among processes finds and writes what one process does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from two_processes import ROOT, run_by_torchrun

from rexkit.cli import main
from rexkit.evaluation.distributed import Processes

CONFIG = """
model = dict(type="TinyVLM")
backend = dict(type="TransformersBackend", max_new_tokens=40)
test_data = [
    dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask")),
    dict(dataset=dict(type="ShapesDataset", size=3, seed=5), task=dict(type="GroundingTask")),
    dict(dataset=dict(type="ShapesDataset", size=2), task=dict(type="PointingTask")),
]
num_images = 5
"""

# Windows of two: several rounds, the last of which one process goes through without an example.
DISTRIBUTED = """
import runpy, sys
import rexkit.evaluation.evaluator
rexkit.evaluation.evaluator.WINDOW = 2
sys.argv = ["test.py", {config!r}, "--work-dir", {work_dir!r}]
runpy.run_path({tool!r}, run_name="__main__")
"""


def records(file: Path) -> list[dict]:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        assert row.pop("seconds") > 0
    return rows


def files_of(folder: Path) -> list[str]:
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_two_processes_find_what_one_does(tmp_path):
    config, one, two = tmp_path / "job.py", tmp_path / "one", tmp_path / "two"
    config.write_text(CONFIG)
    assert main(["test", str(config), "--work-dir", str(one)]) == 0
    tool = str(ROOT / "tools" / "test.py")
    script = DISTRIBUTED.format(config=str(config), work_dir=str(two), tool=tool)
    printed = run_by_torchrun(tmp_path, script)
    assert files_of(two) == files_of(one)
    assert len(list((two / "images").glob("*.png"))) == 5
    for file in sorted(one.rglob("metrics.json")):
        same = json.loads((two / file.relative_to(one)).read_text())
        assert same == pytest.approx(json.loads(file.read_text()), abs=1e-6), file
    found = sorted(one.rglob("predictions.jsonl"))
    assert len(found) == 3
    for file in found:
        assert records(two / file.relative_to(one)) == records(file)
    assert any(row["extracted_predictions"] for row in records(found[0]))
    assert printed.count("results in") == 1


def test_every_number_is_somebodys():
    shared = [number for rank in range(3) for number in Processes(rank, 3).share(range(8))]
    assert sorted(shared) == list(range(8))


def test_states_come_back_as_they_were():
    state = {"phrases": np.array(["tasse à café", "x"]), "counts": np.arange(6).reshape(2, 3)}
    [back] = Processes().gather_states({"0.0": state, "0.1": {"none": np.empty((0, 2))}})
    assert back["0.0"]["phrases"].tolist() == state["phrases"].tolist()
    assert np.array_equal(back["0.0"]["counts"], state["counts"])
    assert back["0.1"]["none"].shape == (0, 2)
