"""Predictions go to a labelling tool, are corrected there, and come back as annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotation_builders import box, pred
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.datasets import CvatDataset, LabelStudioDataset
from rexkit.errors import DataError
from rexkit.formats.predictions import PredictionRecord, to_line


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The record of one image with a cup and a dog, and no cat."""
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    found = pred(
        box("cup", 1, 1, 9, 9, score=0.5), box("dog", 20, 20, 90, 90, score=1.0), absent=["cat"]
    )
    path = str(tmp_path / "a.png")
    asked = ["cup", "dog", "cat"]
    record = PredictionRecord(path, "detection", "Detect.", asked, found, image_path=path)
    (tmp_path / "predictions.jsonl").write_text(to_line(record.to_dict()))
    return tmp_path / "predictions.jsonl"


def test_label_studio(records, tmp_path):
    target = tmp_path / "there"
    assert main([str(records), str(target), "--to", "labelstudio", "--workers", "1"]) == 0
    [task] = json.loads((target / "tasks.json").read_text())
    [prediction] = task.pop("predictions")
    assert (prediction["model_version"], prediction["score"]) == ("rexkit", 0.75)
    with pytest.raises(DataError, match="predictions=True reads"):
        LabelStudioDataset(target / "tasks.json")
    # Somebody moves the cup, and removes the dog; the export has another path of the image.
    corrected = [r for r in prediction["result"] if r["value"].get("rectanglelabels") != ["dog"]]
    corrected[0]["value"]["x"] = 5
    task["annotations"] = [{"result": corrected}]
    (target / "export.json").write_text(json.dumps([task]))
    [sample] = LabelStudioDataset(target / "export.json")
    assert sample.annotation.boxes("cup").tolist() == [[5, 1, 13, 9]]
    assert sample.annotation.absent == ["cat"]
    assert sample.annotation.phrases == ["cup", "cat"]


def test_cvat(records, tmp_path):
    target = tmp_path / "there"
    assert main([str(records), str(target), "--to", "cvat", "--workers", "1"]) == 0
    text = (target / "annotations.xml").read_text()
    assert text.count('source="auto"') == 2
    (target / "annotations.xml").write_text(text.replace('xtl="1"', 'xtl="5.00"'))
    [sample] = CvatDataset(target / "annotations.xml")
    cup, dog = sample.annotation.instances
    assert (cup.bbox.tolist(), cup.score, dog.score) == ([5, 1, 9, 9], 0.5, 1.0)
    assert sample.annotation.absent == ["cat"]
