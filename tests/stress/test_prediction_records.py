"""Whatever a line of predictions holds, it is analysed or is a data error with its place."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rexkit.errors import DataError, UserError
from rexkit.evaluation import analyse, compare, replay
from rexkit.evaluation.sample_images import SampleImages
from rexkit.evaluation.samples_page import write_page
from rexkit.rewards import WeightedRewards

ROUNDS = int(os.environ.get("REXKIT_FUZZ", "60"))
RECORD = {
    **dict(image_path="a.png", dataset_name="COCO", task_name="detection", step=50, index=3),
    **dict(question="Detect cup, dog.", categories=["cup", "dog"], source="a.png", seconds=0.5),
    "raw_response": "<|object_ref_start|>cup<|object_ref_end|><|box_start|><1><2><3><4><|box_end|>",
    "extracted_predictions": {"cup": [{"bbox": [1, 2, 30, 40], "score": 0.5}], "dog": []},
    "gt": {"cup": [{"bbox": [1, 2, 30, 40], "ignore": True}]},
    "problems": [{"kind": "odd_coordinates", "offset": 3, "detail": "three"}],
    **dict(image_size=[100, 50], resized_size=[56, 28], truncated=False, reward=0.25),
    **dict(num_prompt_tokens=9, num_output_tokens=4, drawing="a.png", rewards={"format": 0.5}),
}
VALUES = [
    *(None, True, 5, -1, 0.5, 1e400, float("nan"), 10**400, "x", "\ud800", "[/x]\x1b[2J", "=1"),
    *([], {}, [[]], [1, 2], [None], [0, 0], [10**30, 8], ["x", 1], {"a": {}}, {"a": [{}]}),
    *([{"bbox": "x"}], {"cup": [{"bbox": [1, 2, 3]}]}, {"cup": [{"point": [1e308, 2]}]}),
]


def change(value: object, generator: np.random.Generator) -> object:
    """Return a value with one part of it, at any depth, put in the place of another."""
    if isinstance(value, dict | list) and value and generator.random() < 0.8:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[generator.integers(len(keys))]
        if generator.random() < 0.1:
            del value[key]
        else:
            value[key] = change(value[key], generator)
        return value
    return copy.deepcopy(VALUES[generator.integers(len(VALUES))])


def test_any_record_is_analysed_or_named(tmp_path: Path) -> None:
    generator = np.random.default_rng(15)
    file = tmp_path / "predictions.jsonl"
    refused = 0
    for _ in range(ROUNDS * 2):
        record = change(copy.deepcopy(RECORD), generator)
        file.write_text(json.dumps(record) + "\n")
        try:
            analysis = analyse(tmp_path)
            write_page(tmp_path / "page.html", "title", analysis, SampleImages(tmp_path))
            compare([tmp_path])
            list(replay(file, WeightedRewards(["format", "box_iou"])))
        except UserError as error:  # a reward may need what is not there
            refused += str(file) in str(error)
        except Exception as error:
            raise AssertionError(f"{record} ended in {error!r}") from error
    assert ROUNDS / 5 < refused < ROUNDS * 1.8


@pytest.mark.parametrize("key", ["kind", "offset"])
def test_a_problem_of_another_type_is_named(tmp_path: Path, key: str) -> None:
    file = tmp_path / "predictions.jsonl"
    file.write_text(json.dumps({**RECORD, "problems": [{key: [1]}]}) + "\n")
    with pytest.raises(DataError, match=rf"predictions\.jsonl:1: '{key}' must be"):
        analyse(tmp_path)


@pytest.mark.parametrize("line", [b"\xff\xfe{}\n", b'{"a": "\xff"}\n', b"[" * 10**5 + b"\n"])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "predictions.jsonl").write_bytes(json.dumps(RECORD).encode() + b"\n" + line)
    with pytest.raises(DataError, match=r"predictions\.jsonl:2: bad JSON"):
        analyse(tmp_path)
