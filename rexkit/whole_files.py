"""Files that other programs, and later runs, never find half written."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in its folder, and rename it.

    A process that is killed, or a full disk, leaves the earlier file as it was.

    Args:
        path: of the file; an earlier one is replaced.
        content: text is written as UTF-8.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
