"""Files that other programs, and later runs, never find half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in its folder, and rename it.

    A process that is killed, or a full disk, leaves the earlier file as it was.

    Args:
        path: of the file; an earlier one is replaced.
        content: text is written as UTF-8.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write under a temporary name, which is renamed where no error is raised.

    Args:
        path: of the file; an earlier one is replaced.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
