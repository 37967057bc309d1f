"""Rewards of files: every format of the ground truth, means, and the worst completions."""

from __future__ import annotations

import json

import pytest

from rexkit.cli.reward_command import main
from rexkit.errors import UserError
from rexkit.evaluation.reward_replay import replay
from rexkit.rewards import WeightedRewards

TEXT = (
    "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>, "
    "<|object_ref_start|>dog<|object_ref_end|><|box_start|>None<|box_end|>"
)
TARGETS = [
    {"gt": {"cup": [[0, 0, 100, 50]], "dog": []}},
    {"ground_truth": {"cup": [{"type": "box", "coords": [0, 0, 100, 50]}], "dog": []}},
    {
        "annotation": {
            "boxes": [{"phrase": "cup", "bbox": [0, 0, 100, 50]}, {"phrase": "dog", "bbox": None}]
        }
    },
]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("key", ["raw_response", "raw_output"])
def test_every_format_is_read(tmp_path, target, key):
    file = write(tmp_path / "a.jsonl", {"image_size": [100, 50], key: TEXT, **target})
    (rewarded,) = replay(file, WeightedRewards(["box_f1", "rejection", "format"]))
    assert rewarded.total == 1.0
    assert rewarded.by_name == {"box_f1": 1.0, "rejection": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"raw_response": TEXT, **TARGETS[0]}, "image_size"),
        ({"image_size": [9, 9], **TARGETS[0]}, "raw_response"),
        ({"image_size": [9, 9], "raw_response": TEXT, "gt": 3}, "no prediction record"),
        ([1, 2], "JSON object"),
    ],
)
def test_an_invalid_line_is_named(tmp_path, row, words):
    good = {"image_size": [100, 50], "raw_response": TEXT, **TARGETS[0]}
    file = write(tmp_path / "a.jsonl", good, row)
    with pytest.raises(UserError, match=words) as error:
        list(replay(file, WeightedRewards(["format"])))
    assert "a.jsonl:2" in str(error.value)


def test_the_command_shows_means_and_the_worst(tmp_path, capsys):
    good = {"image_size": [100, 50], "raw_response": TEXT, **TARGETS[0], "source": "good.jpg"}
    bad = {**good, "raw_response": "[no idea]", "source": "bad.jpg"}
    file = write(tmp_path / "a.jsonl", good, bad)
    assert main([str(file), "--reward", "box_f1:threshold=0.9", "--reward", "format"]) == 0
    shown = capsys.readouterr().out
    assert "0.5000" in shown
    assert shown.index("bad.jpg") < shown.index("good.jpg")
    assert "[no idea]" in shown
