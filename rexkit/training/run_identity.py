"""The identity of a training run, in its work directory: whose checkpoints are there."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from rexkit.errors import UserError
from rexkit.models.checkpoint_marks import read_mark
from rexkit.models.checkpoints import FINAL, RUN, last_checkpoint, numbered_checkpoints
from rexkit.whole_files import write_whole

logger = logging.getLogger(__name__)

_LOCK = ".lock"
_LEFT = (FINAL, "log.jsonl", "metrics.json", "tensorboard", "completions", "before", "after")
_FREE = ("work_dir", "val_data", "test_data", "test_before", "backend", "metrics", "visualizer")
_FREE_IN_TRAINER = (
    *("logging_", "log_", "save_", "eval_", "max_steps", "num_train_epochs", "disable_tqdm"),
    *("report_to", "run_name", "completions_every", "dataloader_num_", "dataloader_pin_"),
    *("dataloader_prefetch_", "dataloader_persistent_"),
)

_claimed_here: dict[Path, bool] = {}
"""The work directories that this process holds, and whether a run has them already."""


@contextmanager
def claimed(
    work_dir: Path, config: Mapping[str, Any], resume: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """Hold a work directory for one training run.

    Args:
        work_dir: of the run.
        config: the complete config; ``run.json`` keeps it, with the id of the run.
        resume: the run goes on there.
        overwrite: what an earlier run left there is removed.

    Raises:
        UserError: another process trains there; an earlier run left something there and neither
            ``resume`` nor ``overwrite`` is set; or the config differs from that of the run that is
            resumed in what a checkpoint cannot take over.
    """
    values = flat(json.loads(json.dumps(config, default=str)))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    with locked(work_dir, resume, overwrite):
        if _claimed_here[work_dir.resolve()]:
            raise UserError(f"{work_dir}: another run of this process trains there")
        _claimed_here[work_dir.resolve()] = True
        if resume:
            run = _check_changes(work_dir, values, processes)
        else:
            for path in _left(work_dir):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            run = {"id": uuid4().hex[:12], "started": datetime.now(UTC).isoformat(" ", "seconds")}
        content = {**run, "processes": processes, "config": values}
        write_whole(work_dir / RUN, json.dumps(content, indent=1) + "\n")
        yield


@contextmanager
def locked(work_dir: Path, resume: bool = False, overwrite: bool = False) -> Iterator[None]:
    """Keep other processes from training in a work directory; this process may do it again.

    Args:
        work_dir: of a run.
        resume: the run there may go on.
        overwrite: what an earlier run left there may be replaced.

    Raises:
        UserError: as `claimed` does, but for the config.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    place = work_dir.resolve()
    if place in _claimed_here:
        yield
        return
    with (work_dir / _LOCK).open("a") as lock:
        try:
            # Unlike flock, of this process alone: data workers that outlive it hold nothing.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(
                f"{work_dir}: another process trains there; set another --work-dir"
            ) from None
        left = _left(work_dir)
        if left and not resume and not overwrite:
            raise UserError(
                f"{work_dir} holds an earlier run ({left[0].name}); go on with it by --resume, "
                "replace it by --overwrite, or set another --work-dir"
            )
        _claimed_here[place] = False
        try:
            yield
        finally:
            del _claimed_here[place]


def _left(work_dir: Path) -> list[Path]:
    """Return what a run leaves; a run that ended before its first step leaves nothing."""
    left = [work_dir / name for name in _LEFT if (work_dir / name).exists()]
    return left + numbered_checkpoints(work_dir)


def _check_changes(work_dir: Path, values: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Report what changed in the config since the run started, and refuse what cannot change.

    Returns:
        The identity of the run, without its config.
    """
    file = work_dir / RUN
    if not file.is_file():  # of a run before there was such a file
        logger.warning("%s has no %s: changes of the config are not known", work_dir, RUN)
        last = last_checkpoint(work_dir)
        found = last and read_mark(last)
        return {"id": found.run} if found else {}
    try:
        run = json.loads(file.read_text("utf-8"))
        before = dict(run.pop("config"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}), as after a full disk; remove the file to go on from "
            "the last whole checkpoint without comparing configs, or start anew with --overwrite"
        ) from error
    before["number of processes"] = run.get("processes", processes)
    values = {**values, "number of processes": processes}
    nothing = object()
    changed = [
        key
        for key in sorted({*before, *values})
        if before.get(key, nothing) != values.get(key, nothing)
    ]
    lines = [f"{k}: {before.get(k, 'not set')} -> {values.get(k, 'not set')}" for k in changed]
    refused = [line for key, line in zip(changed, lines, strict=True) if not _may_change(key)]
    if refused:
        raise UserError(
            f"{work_dir} is of a run with another config: {'; '.join(refused)}; resume with the "
            "values of that run, or set another --work-dir"
        )
    for line in lines:
        logger.info("changed and applied: %s", line)
    return dict(run)


def _may_change(key: str) -> bool:
    first, _, rest = key.partition(".")
    if first == "trainer":
        return rest.startswith(_FREE_IN_TRAINER)
    return first in _FREE or first.startswith("num_")


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts and lists by their dotted keys.

    >>> flat({"trainer": {"lr": 1}, "sources": [{"size": 2}], "empty": []})
    {'trainer.lr': 1, 'sources.0.size': 2, 'empty': []}
    """
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    leaves: dict[str, Any] = {}
    for name, part in items:
        leaves |= flat(part, f"{key}.{name}" if key else str(name))
    return leaves or {key: value}
