"""The mark of a checkpoint: written last, it says of which run it is and what its files hold.

A folder without it was not written to its end. With it, a file that was cut off, removed, or taken
from another checkpoint afterwards is noticed too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rexkit._compat.transformers import TRAINER_STATE
from rexkit.whole_files import write_whole

MARK = "checkpoint.json"

_BLOCK, _BLOCKS = 4096, 64


@dataclass(frozen=True, slots=True)
class CheckpointMark:
    """What is known of a checkpoint that was written to its end.

    Attributes:
        run: id of the run (`run_id`); None for a trainer that was not started by a job.
        step: number of steps that are done.
        resumable: whether the state of the optimizer is there.
        files: size and digest of each file.
    """

    run: str | None
    step: int
    resumable: bool
    files: dict[str, tuple[int, str]]


def mark(folder: Path, run: str | None, step: int, resumable: bool = True) -> None:
    """Write the mark of a folder whose other files are complete.

    Args:
        folder: with the checkpoint.
        run: id of the run.
        step: number of steps that are done.
        resumable: whether the state of the optimizer is there.
    """
    files = {
        str(path.relative_to(folder)): (path.stat().st_size, _digest(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARK
    }
    content = asdict(CheckpointMark(run, step, resumable, files))
    write_whole(folder / MARK, json.dumps(content, indent=1) + "\n")


def read_mark(folder: Path) -> CheckpointMark | None:
    """Return the mark of a checkpoint, None if it has none that can be read."""
    try:
        content: Any = json.loads((folder / MARK).read_text("utf-8"))
        found = CheckpointMark(**content)
    except (OSError, ValueError, TypeError):
        return None
    return found if isinstance(found.files, dict) else None


def changed_file(folder: Path, found: CheckpointMark, missing: bool = True) -> str | None:
    """Return the first file that is not as it was when the checkpoint was marked, None for none.

    Args:
        folder: with the checkpoint.
        found: its mark.
        missing: whether a file that was removed is such a one, even if the model itself does not
            need it, such as the state of the optimizer.
    """
    for name, (size, digest) in found.files.items():
        path = folder / name
        if not missing and not path.exists() and not _is_of_model(path):
            continue
        try:
            same = path.stat().st_size == size and _digest(path) == digest
        except OSError:
            same = False
        if not same:
            return name
    return None


def _is_of_model(path: Path) -> bool:
    """Whether a model needs a file; its weights may be in shards of a trainer too."""
    kinds = (".json", ".jinja", ".txt", ".model")
    return path.suffix in kinds and path.name != TRAINER_STATE


def _digest(path: Path) -> str:
    """Return a digest of blocks spread evenly over a file: other weights differ everywhere."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        last = max(0, size - _BLOCK)
        for start in sorted({last * i // (_BLOCKS - 1) for i in range(_BLOCKS)}):
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
