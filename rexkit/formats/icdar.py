"""Text files of the Robust Reading Competition and its relatives: a text and its corners a line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rexkit.errors import DataError

_NUMBER = r"\s*-?\d+(?:\.\d*)?\s*"
_CORNERS = re.compile(rf"((?:{_NUMBER},){{8}})(.*)", re.DOTALL)
_CURVED = re.compile(rf"((?:{_NUMBER},){{6,}})####(.*)", re.DOTALL)
_UPRIGHT = re.compile(rf'({_NUMBER}(?:[, ]{_NUMBER}){{3}})[, ]\s*"(.*)"\s*', re.DOTALL)
_TOTAL_TEXT = re.compile(
    r"x:\s*\[\[([^]]*)\]\],\s*y:\s*\[\[([^]]*)\]\],\s*ornt:\s*\[[^]]*\],\s*"
    r"transcriptions:\s*(\[.*\])",
    re.DOTALL,
)
_MORE_NUMBERS = re.compile(rf"{_NUMBER},{_NUMBER},")
_THOUSANDS = re.compile(r"\s*\d{1,3}(,\d{3})+(\D|$)")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_DIFFICULT = re.compile(r'([01]),(".*")', re.DOTALL)

SCRIPTS = (
    *("Arabic", "Bangla", "Chinese", "Hindi", "Japanese", "Korean", "Latin", "Mixed", "None"),
    "Symbols",
)
"""What ICDAR MLT 2017 and 2019 have in the column before the transcription."""


class IcdarText(NamedTuple):
    """One text in an image.

    Attributes:
        line: its line in the file, from 1.
        polygon: its corners in pixels, x y x y … (8 numbers or more).
        transcription: its text; None where the file says that it cannot be read.
        script: the script that the file names, of `SCRIPTS`.
    """

    line: int
    polygon: list[float]
    transcription: str | None
    script: str | None = None


def read_icdar(path: Path, illegible: str = "###") -> Iterator[IcdarText]:
    """Read the texts of a file: UTF-8, with or without a byte order mark.

    The forms of a line are told apart by itself, but for MLT, whose files have a script on every
    line. `rexkit.datasets.IcdarDataset` lists them.

    Args:
        path: such as ``gt_img_1.txt``.
        illegible: the transcription that stands for "cannot be read".

    Raises:
        DataError: the file cannot be read, or a line has none of the forms.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error})") from error
    numbered = [(n, line.strip("\r")) for n, line in enumerate(lines, start=1) if line.strip()]
    if numbered and numbered[0][1].lstrip().startswith("x:"):
        texts = [*_total_text(numbered)]
    else:
        texts = [_read_line(line, number) for number, line in numbered]
        texts = _without_columns(texts)
    for text in texts:
        unread = text.transcription in (illegible, "")
        yield text._replace(transcription=None) if unread else text


def sort_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in names as numbers: img_2 before img_10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _read_line(line: str, number: int) -> IcdarText:
    if found := _CURVED.fullmatch(line):
        polygon = _floats(found[1])
        if len(polygon) % 2:
            raise DataError(f"line {number} has {len(polygon)} numbers, an odd one, before '####'")
        return IcdarText(number, polygon, found[2].strip())
    if found := _UPRIGHT.fullmatch(line):
        x0, y0, x1, y1 = _floats(found[1])
        return IcdarText(number, [x0, y0, x1, y0, x1, y1, x0, y1], f'"{found[2]}"')
    found = _CORNERS.fullmatch(line)
    if not found:
        raise DataError(
            f"line {number} must be x1,y1,x2,y2,x3,y3,x4,y4,transcription, got {line[:80]!r}"
        )
    text = found[2].strip()
    if _MORE_NUMBERS.match(text) and not _THOUSANDS.match(text):
        raise DataError(
            f"line {number} has more than 8 numbers before its text, {line[:80]!r}; of polygons, "
            "write the text after '####', as CTW1500 does, and of texts that begin so, put them in "
            "quotes"
        )
    return IcdarText(number, _floats(found[1]), text)


def _without_columns(texts: Sequence[IcdarText]) -> list[IcdarText]:
    """Take the script of MLT, the mark of RCTW, and quotes off the transcriptions of a file."""
    split = [(text.transcription or "").split(",", 1) for text in texts]
    if all(len(parts) == 2 and parts[0] in SCRIPTS for parts in split):
        texts = [
            text._replace(script=script, transcription=rest)
            for text, (script, rest) in zip(texts, split, strict=True)
        ]
    marked = [_DIFFICULT.fullmatch(text.transcription or "") for text in texts]
    if all(marked):
        texts = [
            text._replace(transcription=mark[2] if mark[1] == "0" else "")
            for text, mark in zip(texts, marked, strict=True)
            if mark
        ]
    return [text._replace(transcription=_unquoted(text.transcription or "")) for text in texts]


def _unquoted(text: str) -> str:
    """Take off quotes around a whole text, as the exporter of CVAT writes them."""
    quoted = _QUOTED.fullmatch(text)
    return quoted[1].replace('""', '"') if quoted else text


def _total_text(lines: Sequence[tuple[int, str]]) -> Iterator[IcdarText]:
    """Read the form of Total-Text: numpy's and Python's notation, also over several lines."""
    starts = [i for i, (_, line) in enumerate(lines) if line.lstrip().startswith("x:")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        number = lines[start][0]
        text = " ".join(line.strip() for _, line in lines[start:end])
        found = _TOTAL_TEXT.fullmatch(text.strip())
        xs, ys = (_floats(found[i], str.split) if found else [] for i in (1, 2))
        words = _words(found[3]) if found else None
        if words is None or len(xs) != len(ys) or len(xs) < 3:
            raise DataError(
                f"line {number} must be x: [[…]], y: [[…]], ornt: […], transcriptions: ['…'], with "
                f"as many x as y; got {text[:80]!r}"
            )
        polygon = [value for xy in zip(xs, ys, strict=True) for value in xy]
        word = ",".join(words)
        yield IcdarText(number, polygon, "" if word == "#" else word)


def _words(literal: str) -> list[str] | None:
    """Return a list of strings in Python's notation."""
    try:
        words: Any = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(w, str) for w in words) else None


def _floats(text: str, split: Callable[[str], list[str]] | None = None) -> list[float]:
    parts = split(text) if split else re.findall(r"-?\d+(?:\.\d*)?", text)
    try:
        return [float(part) for part in parts]
    except ValueError:
        return []
