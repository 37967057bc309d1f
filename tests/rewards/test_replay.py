"""Rewards of files: every format of the ground truth, means, and the worst completions."""

from __future__ import annotations

import json

import pytest

from rexkit.cli.reward_command import main
from rexkit.errors import UserError
from rexkit.evaluation.reward_replay import BATCH, histogram, replay
from rexkit.grammar import read
from rexkit.rewards import RewardError, WeightedRewards

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


GOOD = {"image_size": [100, 50], "raw_response": TEXT, **TARGETS[0]}


def test_every_record_has_its_own_rewards_whatever_the_size_of_the_file(tmp_path):
    rows = [
        {**GOOD, "source": f"{i}.jpg", "raw_response": TEXT if i % 2 else "[no idea]"}
        for i in range(BATCH + 3)
    ]
    rows.insert(1, {"error": "no image", "source": "gone.jpg"})
    file = write(tmp_path / "a.jsonl", *rows)
    found = list(replay(file, WeightedRewards(["format"])))
    assert [a.source for a in found] == [f"{i}.jpg" for i in range(BATCH + 3)]
    assert [a.by_name["format"] == 1 for a in found] == [bool(i % 2) for i in range(BATCH + 3)]
    assert [a.total for a in found] == [a.by_name["format"] for a in found]
    assert [a.location for a in found[:2]] == [f"{file}:1", f"{file}:3"]


def test_a_parser_reads_the_texts_again(tmp_path):
    predicted = {"dog": [], "cup": [[0, 0, 1, 1]]}  # of another parser
    file = write(tmp_path / "a.jsonl", {**GOOD, "extracted_predictions": predicted})
    rewards = WeightedRewards(["box_f1"])
    (kept,), (again,) = replay(file, rewards), replay(file, rewards, read)
    assert kept.total < again.total == 1.0


def test_a_reward_of_a_record_without_ground_truth_names_what_is_missing(tmp_path):
    row = {"image_size": [100, 50], "raw_response": TEXT}
    file = write(tmp_path / "a.jsonl", row)
    assert [a.total for a in replay(file, WeightedRewards(["format"]))] == [1.0]
    with pytest.raises(RewardError, match=r"no ground truth \('gt'\)") as error:
        list(replay(file, WeightedRewards(["box_f1"])))
    assert "a.jsonl:1" in str(error.value)


def test_the_parts_of_a_histogram_are_those_of_the_unit_interval():
    assert histogram([0.5, 0.55, 0.6], bars=2) == [0, 3]
