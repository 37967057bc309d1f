"""Lines of large files, read by their byte offsets."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from rexkit.errors import DataError


class MappedFile:
    """A memory-mapped file of lines.

    There is no reading position to share, so forked workers and threads may read at once. The file
    is mapped at first use, and again in each process that the object is pickled to.

    Args:
        path: it must exist.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.size = self.path.stat().st_size
        self._bytes: mmap.mmap | bytes | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bytes": None}

    def line(self, offset: int) -> bytes:
        """Return the line that starts at a byte offset, without its end.

        Raises:
            DataError: the offset is beyond the file, or not at the start of a line.
        """
        if self._bytes is None:
            with self.path.open("rb") as file:
                # An empty file cannot be mapped.
                empty = self.size == 0
                self._bytes = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        lines = self._bytes
        if not 0 <= offset < self.size:
            raise DataError(f"byte {offset} is beyond {self.path} of {self.size} bytes{_STALE}")
        if offset and lines[offset - 1] != _NEWLINE:
            raise DataError(f"byte {offset} of {self.path} is not the start of a line{_STALE}")
        end = lines.find(b"\n", offset)
        return lines[offset : end if end >= 0 else self.size].rstrip(b"\r")


_NEWLINE = ord("\n")
_STALE = (
    "; the files do not belong together, or changed after they were indexed: convert them again"
)
