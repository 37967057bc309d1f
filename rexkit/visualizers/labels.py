"""Text in images: shortened and wrapped to a width, and placed with little overlap."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from PIL.ImageFont import FreeTypeFont

from rexkit.geometry import box_coverage
from rexkit.structures import Array, ImageSize

ELLIPSIS = "…"
_NO_CHARACTER = "\U0010ffff"


def one_line(text: str) -> str:
    r"""Replace white space by single blanks and unpaired surrogates by question marks.

    >>> one_line("two\n lines")
    'two lines'
    """
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def drawable(text: str, font: FreeTypeFont) -> str:
    """Replace each run of characters that a font lacks by their numbers, such as ``[676F 5B50]``.

    A font draws one and the same box for all of them, so that labels could not be told apart. A
    letter whose accent alone is missing is written without it.
    """
    plain = [unicodedata.normalize("NFD", letter)[0] for letter in text]
    text = "".join(
        base if letter > "~" and base <= "~" and _is_missing(letter, font) else letter
        for letter, base in zip(text, plain, strict=True)
    )
    parts: list[str] = []
    for missing, run in groupby(text, lambda letter: letter > "~" and _is_missing(letter, font)):
        letters = list(run)
        codes = " ".join(f"{ord(letter):04X}" for letter in letters)
        parts.append(f"[{codes}]" if missing else "".join(letters))
    return "".join(parts)


@lru_cache(maxsize=65536)
def _is_missing(letter: str, font: FreeTypeFont) -> bool:
    drawn, nothing = font.getmask(letter), font.getmask(_NO_CHARACTER)
    return drawn.size == nothing.size and bytes(drawn) == bytes(nothing)


def shorten(text: str, font: FreeTypeFont, width: float) -> str:
    """Shorten a line to a width, with an ellipsis; return an empty string if nothing fits."""
    if font.getlength(text) <= width:
        return text
    kept = _fitting(text, font, width - font.getlength(ELLIPSIS))
    return text[:kept].rstrip() + ELLIPSIS if kept else ""


def wrap(text: str, font: FreeTypeFont, width: float, lines: int) -> list[str]:
    """Break a text into lines of a width, at blanks where possible; shorten the last one."""
    rest = drawable(one_line(text)[:1000], font)
    found: list[str] = []
    while rest and len(found) < lines:
        if len(found) == lines - 1:
            found.append(shorten(rest, font, width))
            break
        end = max(1, _fitting(rest, font, width))
        if end < len(rest) and (blank := rest.rfind(" ", 0, end + 1)) > 0:
            end = blank
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return found


def place(anchors: Array, sizes: Sequence[tuple[int, int]], bounds: ImageSize) -> Array:
    """Place labels inside the image, beside their anchors, with little overlap.

    Labels are placed one after the other. Of some positions around its anchor, each takes the one
    that overlaps least with the labels before it; of those, the one that covers the least of the
    anchors; of those, the first: above, in the top left corner, below, and so on.

    Args:
        anchors: (N, 4), the boxes of the labelled instances.
        sizes: (width, height) of each label, not larger than the image.
        bounds: (width, height) of the image.

    Returns:
        (N, 4), the boxes of the labels, in whole pixels.
    """
    placed = np.zeros((len(anchors), 4))
    limit = np.array(bounds, dtype=np.float64)
    for number, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        room = limit - size
        corners = np.clip(np.round(_places(anchor, *size)), 0, np.maximum(room, 0))
        boxes = np.concatenate([corners, corners + size], axis=1)
        on_labels = box_coverage(boxes, placed[:number]).sum(axis=1)
        on_anchors = box_coverage(anchors, boxes).sum(axis=0)
        cost = 100 * on_labels + on_anchors + 0.02 * np.arange(len(boxes))
        placed[number] = boxes[cost.argmin()]
    return placed


def _places(anchor: Array, width: int, height: int) -> Array:
    """List the top left corners of a label around its anchor, the best first: (K, 2)."""
    x0, y0, x1, y1 = anchor
    right, middle = x1 - width, (x0 + x1 - width) / 2
    rows = (y0 - height, y0, y1, y1 - height)
    near = [(x, y) for x in (x0, right, middle) for y in rows]
    beside = [(x, y) for y in (y0, y1 - height) for x in (x1, x0 - width)]
    far = [(x, y) for y in (y0 - 2 * height, y1 + height) for x in (x0, right)]
    return np.array(near + beside + far)


def _fitting(text: str, font: FreeTypeFont, width: float) -> int:
    """Count how many of the first characters fit."""
    text = text[:1000]
    return bisect_right(range(1, len(text) + 1), width, key=lambda n: font.getlength(text[:n]))
