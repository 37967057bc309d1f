"""JSON Lines: one JSON value a line, read by line number."""

from __future__ import annotations

import codecs
import json
import os
import re
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.mapped_file import MappedFile

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_START = 2**18
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[][{}:]|\n|[^][{}:"\s]+')


class JsonLinesFile:
    """A JSON Lines file of which any line can be read; blank lines mean nothing.

    The file is read once, to find its lines; a line is parsed when it is accessed. It can be
    pickled, and read by several threads and processes at once.

    A file that is one JSON list is read too: its items stand for lines, and are kept in memory.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is one JSON object over several lines, a list of another format, or is not
            UTF-8.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._file = MappedFile(path)
        self._items = _check_lines(self._file.path)
        if self._items is None:
            self._offsets, self._numbers = _find_lines(self._file.path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def __len__(self) -> int:
        return len(self._offsets if self._items is None else self._items)

    def location(self, index: int) -> str:
        """Return the location of a value for messages: "train.jsonl:17", or "train.json[16]"."""
        if self._items is not None:
            return f"{self.path}[{index}]"
        return f"{self.path}:{self._numbers[index]}"

    def value(self, index: int) -> Any:
        """Return the value of a line.

        Raises:
            DataError: it is not JSON.
        """
        if self._items is not None:
            return deepcopy(self._items[index])  # whoever reads a row may change it
        return parse_json(self._file.line(int(self._offsets[index])))

    def contains(self, index: int, text: bytes) -> bool:
        """Return whether a line may have some text, without parsing it."""
        return self._items is not None or text in self._file.line(int(self._offsets[index]))


@dataclass
class JsonStart:
    """What the first 256 KiB of a JSON file show of its first value.

    Attributes:
        opening: its first character: "{", "[", or another.
        keys: the keys of an object, each with the first character of its value.
        closed: whether it ends on the line that it begins on.
        alone: whether nothing follows it.
        over_lines: whether it goes on after its first line.
        whole: whether the file is no longer than that.
    """

    opening: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    alone: bool = True
    over_lines: bool = False
    whole: bool = True

    @classmethod
    def of(cls, path: Path) -> JsonStart:
        """Look at a file, with or without a byte order mark."""
        with path.open("rb") as file:
            start = file.read(_START)
            whole = not file.read(1)
        text = start.decode("utf-16" if start.startswith(_UTF16) else "utf-8-sig", "replace")
        found = cls(whole=whole)
        found._read(text.lstrip())
        return found

    def _read(self, text: str) -> None:
        depth, lines, last = 0, 0, ""
        for match in _TOKEN.finditer(text):
            token = match.group()
            if token == "\n":
                lines += 1
                continue
            if depth == 0 and self.opening:
                self.alone = False
                return
            self.opening = self.opening or token[0]
            if lines and not self.over_lines and depth:
                # After a broken line, the next row begins.
                if depth == 1 and self.opening == token == "{":
                    return
                self.over_lines = True
            if depth == 1 and last.startswith('"') and token == ":" and self.opening == "{":
                value = text[match.end() : match.end() + 80].lstrip()
                self.keys[last[1:-1]] = value[:1]
            if token in ("{", "["):
                depth += 1
            elif token in ("}", "]"):
                depth -= 1
            if depth <= 0:
                self.closed = not lines
                depth = 0
            last = token


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON in Unicode, halves of surrogate pairs as escapes.

    These are in file names that are not UTF-8, and in texts of servers; no UTF-8 file can hold them
    in another way, and `json.loads` gives them back.

    >>> json_text(os.fsdecode(b"caf\xe9.jpg"))
    '"caf\\udce9.jpg"'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def parse_json(text: bytes) -> Any:
    """Return the JSON value in a line.

    Raises:
        DataError: it is not JSON, not UTF-8, or an object of it has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"bad JSON ({error})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice; its keys are {keys[:12]}")
    return found


def _check_lines(path: Path) -> list[Any] | None:
    """Return the items of a file that is one list; refuse one whose lines cannot be told."""
    with path.open("rb") as file:
        if file.read(2) in _UTF16:
            raise DataError("the file is UTF-16; save it as UTF-8", str(path))
    start = JsonStart.of(path)
    if start.opening == "[" and (start.over_lines or start.alone):
        try:
            items: list[Any] = parse_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
        except DataError as error:
            raise error.at(str(path)) from error
        if hint := foreign_format(items):
            raise DataError(f"the file is one JSON list, not JSON Lines; {hint}", str(path))
        return items
    if start.opening == "{" and start.over_lines:
        hint = foreign_format(start.keys) or "write one object a line"
        what = "one JSON object over several lines, not JSON Lines"
        raise DataError(f"the file is {what}; {hint}", str(path))
    return None


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
