"""The identity of a training run, in its work directory: whose checkpoints are there."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rexkit.errors import UserError
from rexkit.models.checkpoints import FINAL, numbered_checkpoints
from rexkit.whole_files import write_whole

logger = logging.getLogger(__name__)

RUN = "run.json"
_LOCK = ".lock"
_LEFT = (FINAL, "log.jsonl", "metrics.json", "tensorboard", "completions", "before", "after", RUN)
_FREE = ("work_dir", "val_data", "test_data", "test_before", "backend", "metrics", "visualizer")
_FREE_IN_TRAINER = ("logging_", "save_", "eval_", "max_steps", "num_train_epochs", "disable_tqdm")


@contextmanager
def claimed(
    work_dir: Path, config: Mapping[str, Any], resume: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """Hold a work directory for one training run.

    Args:
        work_dir: of the run.
        config: the complete config; ``run.json`` keeps it.
        resume: the run goes on there.
        overwrite: what an earlier run left there is removed.

    Raises:
        UserError: another process trains there; an earlier run left something there and neither
            ``resume`` nor ``overwrite`` is set; or the config differs from that of the run that is
            resumed in what a checkpoint cannot take over.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{work_dir}: another process trains there; set another --work-dir"
            ) from None
        values = flat(json.loads(json.dumps(config, default=str)))
        left = [work_dir / name for name in _LEFT if (work_dir / name).exists()]
        left += numbered_checkpoints(work_dir)
        if resume:
            _check_changes(work_dir, values)
        elif left and not overwrite:
            raise UserError(
                f"{work_dir} holds an earlier run ({left[0].name}); go on with it by --resume, "
                "replace it by --overwrite, or set another --work-dir"
            )
        elif overwrite:
            for path in left:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_whole(work_dir / RUN, json.dumps({"config": values}, indent=1))
        yield


def _check_changes(work_dir: Path, values: Mapping[str, Any]) -> None:
    """Report what changed in the config since the run started, and refuse what cannot change."""
    file = work_dir / RUN
    if not file.is_file():  # of a run before there was such a file
        logger.warning("%s has no %s: changes of the config are not known", work_dir, RUN)
        return
    try:
        before = json.loads(file.read_text("utf-8"))["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: unreadable ({error}); remove it to resume unchecked") from error
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
