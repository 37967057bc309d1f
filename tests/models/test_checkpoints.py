"""Checkpoints are found and told apart by their files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rexkit.errors import UserError
from rexkit.models.checkpoint_marks import MARK, mark
from rexkit.models.checkpoints import (
    checkpoint_fault,
    checkpoint_kind,
    finished_model,
    last_checkpoint,
    numbered_checkpoints,
)

STATE = "trainer_state.json"


def make(folder: Path, *files: str) -> Path:
    """Make a folder with files of valid JSON, or folders where a name ends with a slash."""
    folder.mkdir(parents=True)
    for name in files:
        if name.endswith("/"):
            (folder / name).mkdir()
        else:
            (folder / name).write_text("{}")
    return folder


def test_checkpoints_are_ordered_by_number_and_other_folders_are_passed_over(tmp_path):
    for name in ("checkpoint-9", "checkpoint-100", "checkpoint-10"):
        make(tmp_path / name, STATE)
    make(tmp_path / "checkpoint-best", STATE)
    names = [folder.name for folder in numbered_checkpoints(tmp_path)]
    assert names == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    (tmp_path / "checkpoint-100" / STATE).unlink()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize(
    ("content", "complete"), [(b"{}", True), (b'{"epo', False), (b"\xff", False), (None, False)]
)
def test_a_checkpoint_is_complete_with_the_whole_state(tmp_path, content, complete):
    if content is not None:
        (tmp_path / STATE).write_bytes(content)
    assert (checkpoint_fault(tmp_path) is None) is complete


def test_the_finished_model_is_the_end_of_training_or_the_last_complete_checkpoint(
    tmp_path, caplog
):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        finished_model(tmp_path / "nowhere")
    assert finished_model(tmp_path) == tmp_path
    make(tmp_path / "checkpoint-1")
    make(tmp_path / "checkpoint-2")
    with pytest.raises(UserError, match=r"no checkpoint is complete \(checkpoint-2 "):
        finished_model(tmp_path)
    (tmp_path / "checkpoint-1" / STATE).write_text("{}")
    assert finished_model(tmp_path) == tmp_path / "checkpoint-1"
    make(tmp_path / "final")  # as of a killed copy
    with caplog.at_level(logging.WARNING):
        assert finished_model(tmp_path) == tmp_path / "checkpoint-1"
    assert "final holds no weights; checkpoint-1 is taken" in caplog.text
    write_weights(tmp_path / "final")
    assert finished_model(tmp_path) == tmp_path / "final"
    mark(tmp_path / "final", None, 0)
    assert finished_model(tmp_path) == tmp_path / "checkpoint-1"
    assert "final is of step 0, after which the run went on" in caplog.text


def write_weights(folder: Path) -> Path:
    save_file({"w": torch.zeros(8)}, folder / "model.safetensors")
    return folder


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: cut(folder / "model.safetensors"), "model.safetensors is missing or cut"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "missing or cut off"),
        (lambda folder: (folder / "config.json").write_text('{"model'), "config.json is cut off"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                '{"weight_map": {"w": "model-2.safetensors"}}'
            ),
            "model-2.safetensors is missing",
        ),
        (lambda folder: None, None),
    ],
    ids=["cut", "empty", "config", "shard", "whole"],
)
def test_weights_without_a_mark_are_checked_by_their_sizes(tmp_path, damage, fault):
    folder = write_weights(make(tmp_path / "checkpoint-1", STATE, "config.json"))
    damage(folder)
    found = checkpoint_fault(folder)
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize("length", [10, 5000, 300_000])
def test_a_marked_checkpoint_is_that_of_its_run_with_the_files_of_then(tmp_path, length):
    folder = make(tmp_path / "checkpoint-7", STATE, "deep/")
    weights, state = folder / "model.bin", folder / "deep" / "optimizer.pt"
    generator = np.random.default_rng(length)
    for file in (weights, state):
        file.write_bytes(generator.bytes(length))
    mark(folder, "one", 7)
    (folder / "README.md").write_text("of the user")
    assert checkpoint_fault(folder, "one") is checkpoint_fault(folder) is None
    assert checkpoint_fault(folder, "two") == "is of another run"
    before = weights.read_bytes()
    for change in (generator.bytes(length), before[:-1], before + b"x"):
        weights.write_bytes(change)  # as of another run that was killed here
        assert "model.bin is not as it was saved" in checkpoint_fault(folder, "one")
    weights.write_bytes(before)
    assert checkpoint_fault(folder, "one") is None
    state.unlink()
    assert "deep/optimizer.pt is not as it was" in checkpoint_fault(folder)
    (folder / MARK).write_text('{"run": "one", "st')
    assert "has no checkpoint.json" in checkpoint_fault(folder, "one")


def test_the_last_checkpoint_is_that_of_the_run_in_run_json(tmp_path, caplog):
    for step, run in ((5, "one"), (10, "one"), (15, "two"), (20, None)):
        folder = make(tmp_path / f"checkpoint-{step}", STATE)
        if run:
            mark(folder, run, step)
    assert last_checkpoint(tmp_path).name == "checkpoint-20"
    (tmp_path / "run.json").write_text('{"id": "one"}')
    with caplog.at_level(logging.WARNING):
        assert last_checkpoint(tmp_path).name == "checkpoint-10"
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        "checkpoint-20 has no checkpoint.json, which is written last, "
        "checkpoint-15 is of another run; checkpoint-10 is taken"
    )


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["adapter_config.json", "latest"], "adapter"),
        (["model.safetensors", "latest"], "whole"),
        (["model.safetensors.index.json", "pytorch_model_fsdp_0/"], "whole"),
        (["latest"], "deepspeed"),
        (["pytorch_model_fsdp_0/"], "fsdp"),
    ],
)
def test_the_kind_of_a_checkpoint(tmp_path, files, kind):
    assert checkpoint_kind(make(tmp_path / "checkpoint-1", *files)) == kind


def test_a_folder_of_no_known_kind_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is not a checkpoint"):
        checkpoint_kind(make(tmp_path / "checkpoint-1", STATE, "model.safetensors/"))
