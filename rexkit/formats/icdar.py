"""Text files of the Robust Reading Competition and its relatives: a text and its corners a line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.mask_outlines import mask_polygon
from rexkit.instances import outline
from rexkit.structures import Annotation, Array, Instance

_NUMBER = r"\s*-?\d+(?:\.\d*)?\s*"
_CORNERS = re.compile(rf"((?:{_NUMBER},){{8}})(.*)", re.DOTALL)
_CURVED = re.compile(rf"((?:{_NUMBER},){{6,}})####(.*)", re.DOTALL)
_UPRIGHT = re.compile(rf'({_NUMBER}(?:[, ]{_NUMBER}){{3}})[, ]\s*"(.*)"\s*', re.DOTALL)
_TOTAL_TEXT = re.compile(
    r"x:\s*\[\[([^]]*)\]\],\s*y:\s*\[\[([^]]*)\]\],\s*ornt:\s*(\[[^]]*\]),\s*"
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

ILLEGIBLE, UNREAD = "###", "#"
"""The transcriptions of ICDAR and of Total-Text for texts that cannot be read."""


class IcdarText(NamedTuple):
    """One text in an image.

    Attributes:
        line: its line in the file, from 1.
        polygon: its corners in pixels, x y x y … (8 numbers or more).
        transcription: its text; None where the file says that it cannot be read.
        extra: what else the file says of it: ``script``, of `SCRIPTS`, or Total-Text's ``ornt``.
    """

    line: int
    polygon: list[float]
    transcription: str | None
    extra: Mapping[str, str] = {}


def read_icdar(path: Path, illegible: str = ILLEGIBLE) -> Iterator[IcdarText]:
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


def to_icdar(annotation: Annotation) -> str:
    r"""Return the text file of an image, in the form of ICDAR 2015.

    Args:
        annotation: in pixels. Instances that are neither ignored nor have a text are left out, the
            others have the outline of `text_outline`. One of other than four points is written as
            in CTW1500, the text after ``####``. Where `has_scripts`, they are written as in MLT. A
            text that would be read as something else is in quotes.

    >>> sign = Instance("word", bbox=[3, 4, 9, 8], text="EXIT")
    >>> to_icdar(Annotation((64, 48), [sign]))
    '3,4,9,4,9,8,3,8,EXIT\n'
    """
    found = [(i, xy) for i in annotation.instances if (xy := text_outline(i)) is not None]
    of_mlt = has_scripts(annotation)
    lines = []
    for instance, points in found:
        text = ILLEGIBLE if instance.ignore else instance.text or ""
        numbers = ",".join(map(_decimal, points.ravel().tolist()))
        if len(points) != 4:
            lines.append(f"{numbers},####{text}\n")
            continue
        if _reads_otherwise(text):
            text = '"' + text.replace('"', '""') + '"'
        script = f"{instance.extra['script']}," if of_mlt else ""
        lines.append(f"{numbers},{script}{text}\n")
    return "".join(lines)


def to_total_text(annotation: Annotation) -> str:
    r"""Return the text file of an image, in the form of Total-Text.

    Args:
        annotation: as of `to_icdar`. ``extra["ornt"]`` is the orientation where it is there, else
            "c" for more than four points, "h" for an upright box, "m" for others, and "#" for
            texts that are ignored.

    >>> sign = Instance("word", bbox=[3, 4, 9, 8], text="EXIT")
    >>> to_total_text(Annotation((64, 48), [sign]))
    "x: [[3 9 9 3]], y: [[4 4 8 8]], ornt: [u'h'], transcriptions: [u'EXIT']\n"
    """
    lines = []
    for instance in annotation.instances:
        points = text_outline(instance)
        if points is not None:
            xs, ys = (" ".join(map(_decimal, side)) for side in points.T.tolist())
            turn = instance.extra.get("ornt")
            if not isinstance(turn, str) or "]" in turn:
                turn = UNREAD if instance.ignore else _orientation(points)
            text = UNREAD if instance.ignore else instance.text or ""
            lines.append(
                f"x: [[{xs}]], y: [[{ys}]], ornt: [u{turn!r}], transcriptions: [u{text!r}]\n"
            )
    return "".join(lines)


def has_scripts(annotation: Annotation) -> bool:
    """Return whether every text has four corners and an ``extra["script"]`` of `SCRIPTS`."""
    found = [(i, xy) for i in annotation.instances if (xy := text_outline(i)) is not None]
    return all(len(xy) == 4 and i.extra.get("script") in SCRIPTS for i, xy in found)


def text_outline(instance: Instance) -> Array | None:
    """Return the polygon of a text, the outline of its mask, or the corners of its box: (N, 2).

    None for what is no text, which is neither ignored nor has a transcription, or has no extent.
    """
    if not (instance.ignore or instance.text):
        return None
    if instance.polygon is None and instance.bbox is None and instance.mask is not None:
        return mask_polygon(instance.mask)
    has_any = instance.polygon is not None or instance.bbox is not None
    return outline(instance) if has_any else None


def _orientation(points: Array) -> str:
    if len(points) != 4:
        return "c"
    return "h" if len({*points[:, 0]}) == len({*points[:, 1]}) == 2 else "m"


def _reads_otherwise(text: str) -> bool:
    """Return whether a text after four corners would be taken for another form, or cut."""
    starts = (*(f"{script}," for script in SCRIPTS), '"', "0,", "1,", "####")
    return text.startswith(starts) or text != text.strip() or bool(_MORE_NUMBERS.match(text))


def _decimal(value: float) -> str:
    """Return a number as it is read, without an exponent."""
    return np.format_float_positional(value, trim="-")


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
            text._replace(extra={"script": script}, transcription=rest)
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
        turn, words = (_words(found[i]) if found else None for i in (3, 4))
        if words is None or len(xs) != len(ys) or len(xs) < 3:
            raise DataError(
                f"line {number} must be x: [[…]], y: [[…]], ornt: […], transcriptions: ['…'], with "
                f"as many x as y; got {text[:80]!r}"
            )
        polygon = [value for xy in zip(xs, ys, strict=True) for value in xy]
        word = ",".join(words)
        extra = {"ornt": turn[0]} if turn else {}
        yield IcdarText(number, polygon, "" if word == UNREAD else word, extra)


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
