"""Files that other programs, and later runs, never find half written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

ESCAPED = "backslashreplace"
"""What text files do with halves of surrogate pairs: no UTF-8 can hold them."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name in its folder, and rename it.

    A process that is killed, or a full disk, leaves the earlier file as it was.

    Args:
        path: of the file; an earlier one is replaced.
        content: text is written as UTF-8; halves of surrogate pairs, which are in file names that
            are not UTF-8, as the escapes that JSON has for them.
    """
    with whole_file(path) as file:
        file.write(content.encode("utf-8", ESCAPED) if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write under a temporary name, which is renamed where no error is raised.

    Args:
        path: of the file; an earlier one is replaced.
    """
    partial = partial_name(path)
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_name(path: Path) -> Path:
    """Return the temporary name of a file, in its folder; short, whatever the length of its own."""
    digest = hashlib.sha1(os.fsencode(path.name), usedforsecurity=False).hexdigest()[:12]
    return path.with_name(f".{digest}.{os.getpid()}.partial")
