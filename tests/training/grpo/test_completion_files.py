"""Files of completions: when they are written, what they say, and which are drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from rexkit.datasets import ShapesDataset
from rexkit.examples import ExampleDataset, Source
from rexkit.grammar import read
from rexkit.rewards import RewardTable
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.training.grpo import completion_files
from rexkit.training.grpo.completion_files import CompletionWriter
from rexkit.training.grpo.reward_function import Completion

RIGHT = "<|object_ref_start|>{}<|object_ref_end|><|box_start|><1><2><3><4><|box_end|>"


@dataclass
class Album:
    """A visualizer that keeps what it is asked to draw."""

    drawn: list[dict[str, Any]] = field(default_factory=list)

    def side_by_side(self, image, target, prediction, **words):
        self.drawn.append({"image": image, "target": target, "prediction": prediction, **words})
        return Image.new("RGB", (2, 2))


def batch(rewards: list[float], group: int = 2, **others: Any) -> tuple[Any, Any, RewardTable]:
    """Completions of several prompts, ``group`` of each; completion n has n + 1 tokens."""
    data = ExampleDataset([Source(ShapesDataset(len(rewards)), GroundingTask())])
    examples = [data[number // group] for number in range(len(rewards))]
    completions = [
        Completion(read(RIGHT.format(f"phrase {n}"), e.target.image_size), n + 1, n % 2 == 1)
        for n, e in enumerate(examples)
    ]
    half = np.array([r / 2 for r in rewards])
    return examples, completions, RewardTable(np.array(rewards), {"half": half} | others)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "completions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("every", "steps", "written"),
    [
        (0, [0, 1, 5], []),
        (2, [0, 1, 2, 3, 4], [0, 2, 4]),
        (3, [0, 1, 2, 5, 7], [0, 5, 7]),  # a round of several updates passes the step that is due
        (2, [4, 4, 5, 6], [4, 6]),  # and asks for the same step twice
    ],
)
def test_a_folder_is_written_once_for_each_interval(tmp_path, every, steps, written):
    writer = CompletionWriter(tmp_path, every, Album())
    for step in steps:
        writer.add(step, *batch([0.0, 1.0]))
    assert sorted(f.name for f in tmp_path.iterdir()) == [f"step_{step:05d}" for step in written]


def test_a_record_says_what_was_sampled_and_rewarded(tmp_path):
    missing = np.array([np.nan, 0.25, np.nan, 0.5])
    examples, completions, table = batch([0.1, 0.9, 0.4, 0.2], sometimes=missing)
    CompletionWriter(tmp_path, 1, Album()).add(7, examples, completions, table)
    found = records(tmp_path / "step_00007")
    assert [r["index"] for r in found] == [0, 1, 2, 3]
    assert [r["step"] for r in found] == [7] * 4
    assert [r["num_output_tokens"] for r in found] == [1, 2, 3, 4]
    assert [r.get("truncated", False) for r in found] == [False, True, False, True]
    assert [r["reward"] for r in found] == [0.1, 0.9, 0.4, 0.2]
    assert found[0]["rewards"] == {"half": 0.05}  # its source lacks the other reward
    assert found[1]["rewards"] == {"half": 0.45, "sometimes": 0.25}
    assert [r["raw_response"] for r in found] == [c.prediction.text for c in completions]
    assert [r["question"] for r in found] == [e.prompt for e in examples]


def test_the_best_and_the_worst_completion_of_a_prompt_are_drawn(tmp_path):
    album = Album()
    examples, completions, table = batch([0.3, 0.8, 0.1, 0.5, 0.6, 0.7], group=3)
    CompletionWriter(tmp_path, 1, album).add(0, examples, completions, table)
    files = sorted(path.name for path in (tmp_path / "step_00000").glob("*.png"))
    assert files == ["0000_best.png", "0000_worst.png", "0003_best.png", "0003_worst.png"]
    assert [d["prediction"].text for d in album.drawn] == [
        completions[row].prediction.text for row in (2, 1, 3, 5)
    ]
    for drawn, row in zip(album.drawn, (2, 1, 3, 5), strict=True):
        assert drawn["image"] is examples[row].image
        assert drawn["target"] is examples[row].target
        assert drawn["prompt"] == examples[row].prompt
        reward = table.total[row]
        assert drawn["text"].startswith(f"reward {reward:.3f} (half {reward / 2:.3f}): ")


def test_only_the_first_prompts_are_drawn(tmp_path):
    album = Album()
    number = 2 * completion_files.DRAWN_PROMPTS + 4
    CompletionWriter(tmp_path, 1, album).add(0, *batch([0.5] * number))
    assert len(album.drawn) == 2 * completion_files.DRAWN_PROMPTS
    assert len(records(tmp_path / "step_00000")) == number


def test_two_questions_about_one_image_are_two_groups(tmp_path):
    examples = [
        ExampleDataset([Source(ShapesDataset(1), task)])[0]
        for task in (GroundingTask(), PointingTask())
    ]
    completions = [Completion(read("", e.target.image_size), 1, False) for e in examples]
    album = Album()
    total = np.array([0.0, 1.0])
    table = RewardTable(total, {"half": total / 2})
    CompletionWriter(tmp_path, 1, album).add(0, examples, completions, table)
    assert len({e.prompt for e in examples}) == 2
    assert len({e.source for e in examples}) == 1
    assert len(album.drawn) == 4
    assert (tmp_path / "step_00000" / "table.md").read_text().count("## ") == 2


def test_a_table_has_the_best_completion_first_and_kinds_of_problems(tmp_path):
    examples, completions, table = batch([0.3, 0.8])
    completions[0] = Completion(read("nothing", examples[0].target.image_size), 1, False)
    CompletionWriter(tmp_path, 1, Album()).add(3, examples, completions, table)
    text = (tmp_path / "step_00003" / "table.md").read_text()
    assert text.startswith("# Completions after 3 steps\n")
    assert text.index("0.800") < text.index("0.300")
    kinds = {problem.kind for problem in completions[0].prediction.problems}
    assert kinds
    assert all(f"| {kind} |" in text for kind in kinds)


def test_every_process_draws_its_own_and_the_first_writes_all(tmp_path, monkeypatch):
    theirs = [{"from": "the other process"}]
    monkeypatch.setattr(completion_files, "_tables", lambda records: "")
    monkeypatch.setattr(completion_files, "gather_object", lambda own: own + theirs)
    for number, main in enumerate((True, False)):
        process = SimpleNamespace(process_index=number, is_main_process=main)
        monkeypatch.setattr(completion_files, "PartialState", lambda process=process: process)
        folder = tmp_path / str(number)
        CompletionWriter(folder, 1, Album()).add(0, *batch([0.0, 1.0]))
        images = sorted(path.name for path in (folder / "step_00000").glob("*.png"))
        assert images == [f"{2 * number:04d}_{which}.png" for which in ("best", "worst")]
        assert (folder / "step_00000" / "completions.jsonl").exists() == main
    assert records(tmp_path / "0" / "step_00000")[-1] == theirs[0]
    assert [r.get("index") for r in records(tmp_path / "0" / "step_00000")] == [0, 1, None]
