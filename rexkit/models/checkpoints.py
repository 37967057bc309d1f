"""Training checkpoints on disk: which are complete, which is the last one, and what each holds."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

from rexkit._compat.accelerate import FSDP_SHARDS
from rexkit._compat.transformers import CHECKPOINT_PREFIX, TRAINER_STATE
from rexkit.errors import UserError
from rexkit.models.checkpoint_marks import MARK, changed_file, read_mark
from rexkit.models.verl_shards import is_actor_folder, last_actor_folder

logger = logging.getLogger(__name__)

CheckpointKind = Literal["adapter", "whole", "deepspeed", "fsdp", "verl"]
"""A LoRA adapter, whole weights, or shards of DeepSpeed ZeRO, of FSDP, or of FSDP as verl saves."""

FINAL = "final"
"""Folder in a work directory that holds the model at the end of training."""

RUN = "run.json"
"""File in a work directory that says which run it belongs to."""

_INDEX = "model.safetensors.index.json"
_WHOLE = ("model.safetensors", _INDEX)


def last_checkpoint(work_dir: Path) -> Path | None:
    """Return the last whole checkpoint of the run that a work directory belongs to.

    Others, such as one that a killed process was still writing, are passed over and reported.

    Args:
        work_dir: Work directory of the run.

    Returns:
        The folder ``checkpoint-N`` with the largest N that is whole, or None.
    """
    last, passed = _last_and_passed(work_dir)
    if last is not None and passed:
        logger.warning("%s; %s is taken", ", ".join(passed), last.name)
    return last


def _last_and_passed(work_dir: Path) -> tuple[Path | None, list[str]]:
    """Return the last whole checkpoint, and what is wrong with each later one."""
    run = run_id(work_dir)
    passed: list[str] = []
    for folder in reversed(numbered_checkpoints(work_dir)):
        fault = checkpoint_fault(folder, run)
        if fault is None:
            return folder, passed
        passed.append(f"{folder.name} {fault}")
    return None, passed


def numbered_checkpoints(work_dir: Path) -> list[Path]:
    """Return the folders ``checkpoint-N`` of a work directory, complete or not, by ascending N."""
    steps = {
        int(number): folder
        for folder in work_dir.glob(f"{CHECKPOINT_PREFIX}-*")
        if (number := folder.name.rpartition("-")[2]).isdigit()
    }
    return [steps[step] for step in sorted(steps)]


def run_id(work_dir: Path) -> str | None:
    """Return the id of the run that a work directory belongs to, None if it is not known."""
    content = _read_json(work_dir / RUN)
    found = content.get("id") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None


def checkpoint_fault(checkpoint: Path, run: str | None = None) -> str | None:
    """Return what is wrong with a folder ``checkpoint-N``, None if it is whole.

    A checkpoint of rexkit is whole if its mark is there, which is written last, and all files are
    as they were then. Without a mark, as transformers saves it, it is whole if the state of the
    trainer, which is written last there, and the weights can be read.

    Args:
        checkpoint: The folder.
        run: Id of the run that it must belong to; None takes those of any run, with a mark or not.
    """
    found = read_mark(checkpoint)
    if found is None:
        if _read_json(checkpoint / TRAINER_STATE) is None:
            return f"has no readable {TRAINER_STATE}, which is written last"
        return f"has no {MARK}, which is written last" if run else weights_fault(checkpoint)
    if run is not None and found.run != run:
        return "is of another run"
    changed = changed_file(checkpoint, found)
    return None if changed is None else f"is not whole ({changed} is not as it was saved)"


def weights_fault(folder: Path) -> str | None:
    """Return what is wrong with the files of a model in a folder, None if all are whole.

    Of weights without a mark only sizes are compared, so that it costs no time.
    """
    found = read_mark(folder)
    changed = None if found is None else changed_file(folder, found, missing=False)
    if changed is not None:
        return f"is not whole ({changed} is not as it was saved)"
    for file in sorted(folder.glob("*.json")) if found is None else ():
        if _read_json(file) is None:
            return f"is not whole ({file.name} is cut off)"
    for file in sorted(folder.glob("*.jinja")) if found is None else ():
        if not file.read_bytes().strip(b"\0 \n"):
            return f"is not whole ({file.name} is empty)"
    names = {path.name for path in folder.glob("*.safetensors")}
    index = _read_json(folder / _INDEX)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if isinstance(weight_map, dict):
        names |= set(map(str, weight_map.values()))
    for name in sorted(names):
        if not _is_whole_safetensors(folder / name):
            return f"is not whole ({name} is missing or cut off)"
    return None


def _read_json(file: Path) -> Any:
    """Return the content of a file, None if it holds no JSON."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _is_whole_safetensors(file: Path) -> bool:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if 8 + length <= size else {}
        ends = [entry["data_offsets"][1] for n, entry in header.items() if n != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False
    return bool(size == 8 + length + max(ends, default=-1))


def finished_model(folder: Path) -> Path:
    """Return the folder with the weights to use from a checkpoint or a work directory.

    Args:
        folder: A checkpoint, which is returned as it is; or a work directory, of which ``final`` is
            returned if it is whole and no checkpoint of the run is later, else the last whole
            checkpoint. Of a folder of verl with
            ``global_step_N/actor``, the last actor folder is returned.

    Raises:
        FileNotFoundError: If there is no such folder.
        UserError: If nothing in a work directory is whole.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    final = folder / FINAL
    last, passed = _last_and_passed(folder)
    if final.is_dir():
        fault = final_fault(final)
        if fault is None:
            if last is None or step_of(last) <= step_of(final):
                return final
            fault = f"is of step {step_of(final):.0f}, after which the run went on"
        passed.append(f"{FINAL} {fault}")
    if last is not None:
        if passed:
            logger.warning("%s: %s; %s is taken", folder, ", ".join(passed), last.name)
        return last
    if passed:
        raise UserError(
            f"{folder}: no checkpoint is complete ({passed[0]}); train on until one is saved, or, "
            f"if you changed that file yourself, remove {MARK} beside it"
        )
    return last_actor_folder(folder) or folder


def step_of(folder: Path) -> float:
    """Return the step that a checkpoint is marked with, or that is in its name."""
    found = read_mark(folder)
    number = folder.name.rpartition("-")[2]
    if found is not None:
        return found.step
    return int(number) if number.isdigit() else math.inf


def final_fault(final: Path) -> str | None:
    """Return what is wrong with a folder ``final``, None if it holds a whole model."""
    try:
        checkpoint_kind(final)
    except UserError:
        return "holds no weights"
    return weights_fault(final)


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
