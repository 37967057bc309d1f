"""Large JSON lists, read and written an object at a time."""

from __future__ import annotations

import codecs
import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rexkit.errors import DataError
from rexkit.formats.json_lines import parse_json

_CHUNK = 2**20


@dataclass(frozen=True)
class JsonListItem:
    """An object of a list, and where it is.

    Attributes:
        start: the byte at which it begins.
        end: the byte after it.
        value: the object.
    """

    start: int
    end: int
    value: dict[str, Any]


class JsonListFile:
    """A file that is one JSON list of objects, of which any can be read.

    It is read once, to find its objects; one is parsed again when it is accessed. It has the
    methods of `rexkit.formats.json_lines.JsonLinesFile`.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is no such list; the message has the number of the object.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._starts, self._ends = array("q"), array("q")
        for item in json_list_items(self.path):
            self._starts.append(item.start)
            self._ends.append(item.end)

    def __len__(self) -> int:
        return len(self._starts)

    def location(self, index: int) -> str:
        """Return the location of an object for messages: "train.json[16]"."""
        return f"{self.path}[{index}]"

    def value(self, index: int) -> Any:
        """Return an object."""
        return read_json_item(self.path, self._starts[index], self._ends[index])


def json_list_items(path: Path) -> Iterator[JsonListItem]:
    """Yield the objects of a file that is one JSON list; not more than one is in memory.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is no such list; the message has the number of the object.
    """
    number = 0
    with path.open("rb") as file:
        text = _JsonText(file)
        try:
            text.take("[")
            following = text.next()
            while following != "]":
                yield text.read_object()
                number += 1
                following = text.next()
                if following != "]":
                    text.take(",")
            text.take("]")
            if text.next():
                raise DataError("something follows the list")
        except DataError as error:
            raise error.at(f"{path}[{number}]") from error


def first_of_json_list(path: Path) -> dict[str, Any] | None:
    """Return the first object of a file that is one JSON list; None where there is none."""
    try:
        return next((item.value for item in json_list_items(path)), None)
    except (DataError, OSError):
        return None


def read_json_item(path: Path, start: int, end: int) -> Any:
    """Return the object between two bytes of a file, as `JsonListItem` has them.

    Raises:
        DataError: there is none any more.
    """
    with path.open("rb") as file:
        file.seek(start)
        return parse_json(file.read(end - start))


def object_of_lists(**lists: Iterator[Any]) -> Iterator[str]:
    """Yield the text of a JSON object of lists, an item at a time.

    >>> "".join(object_of_lists(a=iter([1, 2]), b=iter([]))).split()
    ['{"a":', '[', '1,', '2', '],', '"b":', '[', ']}']
    """
    opening = "{"
    for name, items in lists.items():
        yield f'{opening}"{name}": ['
        for number, item in enumerate(items):
            yield (",\n" if number else "\n") + json.dumps(item)
        yield "\n]"
        opening = ",\n"
    yield "}\n"


class _JsonText:
    """The text of a file, of which the current part is in memory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._at = "", 0
        self._offset = 0
        """The byte of the file at which the character at ``_at`` begins."""

    def next(self) -> str:
        """Return the next character that is no white space, without taking it; "" at the end."""
        while True:
            while self._at < len(self._text):
                found = self._text[self._at]
                if found not in " \t\r\n\ufeff":
                    return found
                self._move(self._at + 1)
            if not self._fill():
                return ""

    def take(self, character: str) -> None:
        """Take a character.

        Raises:
            DataError: another one is next.
        """
        found = self.next()
        if found != character:
            what = repr(found) if found else "the end of the file"
            raise DataError(f"one JSON list of objects has {character!r} here, not {what}")
        self._move(self._at + 1)

    def read_object(self) -> JsonListItem:
        """Take an object.

        Raises:
            DataError: there is none, or it is bad JSON.
        """
        if self.next() != "{":
            self.take("{")
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                break
            except ValueError as error:  # it may go on in what is not read yet
                if not self._fill():
                    raise DataError(f"bad JSON ({error})") from error
            except RecursionError as error:
                raise DataError(f"bad JSON ({error})") from error
        start = self._offset
        self._move(end)
        return JsonListItem(start, self._offset, value)

    def _move(self, at: int) -> None:
        taken = self._text[self._at : at]
        self._offset += len(taken) if taken.isascii() else len(taken.encode())
        self._at = at

    def _fill(self) -> bool:
        """Read on; twice as much as is left, so that a long object is not tried often."""
        left = self._text[self._at :]
        data = self._file.read(max(_CHUNK, len(left)))
        try:
            self._text, self._at = left + self._decoder.decode(data, final=not data), 0
        except UnicodeDecodeError as error:
            raise DataError("the file is not UTF-8") from error
        return bool(data)
