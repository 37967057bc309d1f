"""Training checkpoints on disk: which are complete, which is the last one, and what each holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from rexkit._compat.accelerate import FSDP_SHARDS
from rexkit._compat.transformers import CHECKPOINT_PREFIX, TRAINER_STATE
from rexkit.errors import UserError
from rexkit.models.verl_shards import is_actor_folder, last_actor_folder

CheckpointKind = Literal["adapter", "whole", "deepspeed", "fsdp", "verl"]
"""A LoRA adapter, whole weights, or shards of DeepSpeed ZeRO, of FSDP, or of FSDP as verl saves."""

FINAL = "final"
"""Folder in a work directory that holds the model at the end of training."""

_WHOLE = ("model.safetensors", "model.safetensors.index.json")


def last_checkpoint(work_dir: Path) -> Path | None:
    """Return the last complete checkpoint of a training run.

    A checkpoint that a killed process was still writing is passed over.

    Args:
        work_dir: Work directory of the run.

    Returns:
        The folder ``checkpoint-N`` with the largest N that is complete, or None.
    """
    complete = [folder for folder in numbered_checkpoints(work_dir) if is_complete(folder)]
    return complete[-1] if complete else None


def numbered_checkpoints(work_dir: Path) -> list[Path]:
    """Return the folders ``checkpoint-N`` of a work directory, complete or not, by ascending N."""
    steps = {
        int(number): folder
        for folder in work_dir.glob(f"{CHECKPOINT_PREFIX}-*")
        if (number := folder.name.rpartition("-")[2]).isdigit()
    }
    return [steps[step] for step in sorted(steps)]


def is_complete(checkpoint: Path) -> bool:
    """Return whether a folder ``checkpoint-N`` was written to its end.

    transformers writes ``trainer_state.json`` after everything else, so a checkpoint is complete if
    that file holds valid JSON.
    """
    try:
        json.loads((checkpoint / TRAINER_STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def finished_model(folder: Path) -> Path:
    """Return the folder with the weights to use from a checkpoint or a work directory.

    Args:
        folder: A checkpoint, which is returned as it is; or a work directory, of which ``final`` is
            returned if training ended, else the last complete checkpoint. Of a folder of verl with
            ``global_step_N/actor``, the last actor folder is returned.

    Raises:
        FileNotFoundError: If there is no such folder.
        UserError: If all checkpoints in a work directory are incomplete.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if (folder / FINAL).is_dir():
        return folder / FINAL
    numbered = numbered_checkpoints(folder)
    last = last_checkpoint(folder)
    if numbered and last is None:
        raise UserError(
            f"{folder}: no checkpoint is complete ({numbered[-1].name} has no readable "
            f"{TRAINER_STATE}, which is written last); train on until one is saved"
        )
    return last or last_actor_folder(folder) or folder


def checkpoint_kind(checkpoint: Path) -> CheckpointKind:
    """Return what a checkpoint holds; whole weights take precedence over shards of the same.

    Raises:
        UserError: If it is of no known kind.
    """
    if (checkpoint / "adapter_config.json").is_file():
        return "adapter"
    if any((checkpoint / name).is_file() for name in _WHOLE):
        return "whole"
    if (checkpoint / "latest").is_file():
        return "deepspeed"
    if (checkpoint / FSDP_SHARDS).is_dir():
        return "fsdp"
    if is_actor_folder(checkpoint):
        return "verl"
    raise UserError(
        f"{checkpoint} is not a checkpoint: it holds neither model.safetensors, nor "
        f"adapter_config.json, nor DeepSpeed's 'latest', nor {FSDP_SHARDS}, nor verl's "
        "model_world_size_N_rank_R.pt; nor is it a work directory with final/ or checkpoint-N/"
    )
