"""JSON Lines: one JSON value a line, read by line number."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.formats.mapped_file import MappedFile


class JsonLinesFile:
    """A JSON Lines file of which any line can be read; blank lines mean nothing.

    The file is read once, to find its lines; a line is parsed when it is accessed. It can be
    pickled, and read by several threads and processes at once.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: it is missing.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._file = MappedFile(path)
        self._offsets, self._numbers = _find_lines(self._file.path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def __len__(self) -> int:
        return len(self._offsets)

    def location(self, index: int) -> str:
        """Return the location of a value for messages: "train.jsonl:17"."""
        return f"{self.path}:{self._numbers[index]}"

    def value(self, index: int) -> Any:
        """Return the value of a line.

        Raises:
            DataError: it is not JSON.
        """
        return parse_json(self._file.line(int(self._offsets[index])))

    def contains(self, index: int, text: bytes) -> bool:
        """Return whether a line has some text, without parsing it."""
        return text in self._file.line(int(self._offsets[index]))


def parse_json(text: bytes) -> Any:
    """Return the JSON value in a line.

    Raises:
        DataError: it is not JSON, or not UTF-8.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"bad JSON ({error})") from error


def _find_lines(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Byte offset and number of every line that is not blank."""
    offsets, numbers, offset = [], [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                offsets.append(offset)
                numbers.append(number)
            offset += len(line)
    return np.array(offsets, dtype=np.int64), np.array(numbers, dtype=np.int64)
