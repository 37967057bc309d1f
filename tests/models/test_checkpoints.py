"""Checkpoints are found and told apart by their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexkit.errors import UserError
from rexkit.models.checkpoints import (
    checkpoint_kind,
    finished_model,
    is_complete,
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
    assert is_complete(tmp_path) is complete


def test_the_finished_model_is_the_end_of_training_or_the_last_complete_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        finished_model(tmp_path / "nowhere")
    assert finished_model(tmp_path) == tmp_path
    make(tmp_path / "checkpoint-1")
    make(tmp_path / "checkpoint-2")
    with pytest.raises(UserError, match=r"no checkpoint is complete \(checkpoint-2 "):
        finished_model(tmp_path)
    (tmp_path / "checkpoint-1" / STATE).write_text("{}")
    assert finished_model(tmp_path) == tmp_path / "checkpoint-1"
    make(tmp_path / "final")
    assert finished_model(tmp_path) == tmp_path / "final"


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
