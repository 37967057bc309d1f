"""Repair of spans that do not follow the grammar exactly.

A span starts at every ``<|object_ref_start|>``, so a broken span never hides the next one. Extra
white space between tokens is no problem. All other spans are read token by token:

- Text between items is junk. Inside an item, it separates two items if the coordinates on each
  side could be a box or polygon; otherwise both sides are one item.
- ``<|box_end|>`` closes the span only if no coordinates follow before the next span.
- The last item of a text that stops inside a span is kept if it has as many coordinates as the
  item before it in the text, or four where there is none.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rexkit.grammar.lazy_instances import BOX, Span
from rexkit.grammar.problems import problem
from rexkit.grammar.span_patterns import SPACED_SPAN
from rexkit.grammar.tokens import (
    BIN_OF,
    BOX_END,
    BOX_START,
    COORD_TOKENS,
    ITEM_SEPARATOR,
    NONE,
    OBJECT_REF_END,
    OBJECT_REF_START,
)
from rexkit.structures import Problem

After = Literal["span", "end of turn", "cut"]
"""What follows a section of text: another span, the end of the turn, or nothing at all."""

# Anything in brackets counts as a coordinate, so <-5> or <x> invalidates its item: the remaining
# coordinates alone could be mistaken for a point or a box.
_PARTS = re.compile(
    r"(?P<coord><[^<>|,]*>)|(?P<comma>,)|(?P<markup><\|\w+\|>)|\s+|(?P<word>[^<,\s]+|<)"
)
# With transcriptions between the coordinates only digits in brackets are coordinates, and only a
# comma before a coordinate ends an item. White space is part of the text.
_PARTS_INLINE = re.compile(
    r"(?P<coord><[0-9]+>)|(?P<comma>,)(?=\s*<[0-9]+>)|(?P<markup><\|\w+\|>)|(?P<word>[^<,]+|[<,])"
)
_CUT_TOKEN = re.compile(r"(?:<[0-9]{0,3}|<\|\w*\|?|(?<=\|>)(?:N|No|Non))\Z")
_LONGEST_TOKEN = 24


class ParsedItem(NamedTuple):
    """One point, box or polygon in bins, with its offset in the text."""

    bins: list[int]
    offset: int
    text: str | None = None


def repair(
    text: str,
    start: int,
    stop: int,
    after: After,
    spans: list[Span],
    problems: list[Problem],
    *,
    inline: bool = False,
) -> None:
    """Read a section of text that is not in the canonical spelling.

    Args:
        text: the whole text, which offsets refer to.
        start: the offset where the section starts: at a span, or at text before the first one.
        stop: the offset where it ends: at a span, or at the end of the text.
        after: what comes at ``stop``.
        spans: the spans before the section; those read here are appended.
        problems: the problems found so far; those found here are appended.
        inline: whether a transcription follows the coordinates of each item.

    >>> spans, problems = [], []
    >>> broken = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><1><2><3>x,<4><5><6><7>"
    >>> repair(broken, 0, len(broken), "end of turn", spans, problems)
    >>> spans
    [('cup', '<4><5><6><7>', [65], [None])]
    >>> [(p.kind, p.offset) for p in problems]
    [('junk', 63), ('odd_coordinates', 54), ('unclosed_span', 77)]
    """
    begin = _find(text, OBJECT_REF_START, start, stop)
    if text[start:begin].strip():
        problems.append(problem("junk", start, _quote(text[start:begin])))
    while begin < stop:
        end = _find(text, OBJECT_REF_START, begin + 1, stop)
        follows = after if end == stop else "span"
        limit = end + len(OBJECT_REF_START) if follows == "span" else end
        match = None if inline else SPACED_SPAN.match(text, begin, limit)
        if match:
            phrase, boxes, items, _ = match.groups()
            geometry_at = match.start(2 if boxes else 3) if boxes or items else match.end(1)
            spans.append((phrase.strip(), boxes or items or "", geometry_at, []))
        else:
            _read_span(text, begin, end, follows, spans, problems, inline)
        begin = end


def _read_span(
    text: str,
    start: int,
    stop: int,
    after: After,
    spans: list[Span],
    problems: list[Problem],
    inline: bool,
) -> None:
    phrase_at = start + len(OBJECT_REF_START)
    ref_end = _find(text, OBJECT_REF_END, phrase_at, stop)
    box_start = _find(text, BOX_START, phrase_at, stop)
    after_ref = ref_end + len(OBJECT_REF_END)
    rest = text[after_ref:stop].strip()
    geometry_at = box_start + len(BOX_START)
    known_problems = len(problems)
    if box_start < ref_end:
        problems.append(problem("missing_token", box_start, OBJECT_REF_END))
    elif box_start < stop:
        if between := text[after_ref:box_start].strip():
            problems.append(problem("junk", after_ref, _quote(between)))
    elif after == "cut" and BOX_START.startswith(rest):
        problems.append(problem("truncated", start))
        return
    elif rest in ("", ITEM_SEPARATOR):
        problems.append(problem("unclosed_span", stop))
        return
    else:
        geometry_at = after_ref
        problems.append(problem("missing_token", geometry_at, BOX_START))
    phrase = text[phrase_at : min(ref_end, box_start)].strip()
    if not phrase:
        problems.append(problem("empty_phrase", phrase_at))
    # Only a text that is cut off needs it; counting it for each span would take quadratic time.
    geometry = _Geometry(problems, inline, _last_size(spans) if after == "cut" else BOX)
    geometry.read(text, geometry_at, stop, after)
    if items := geometry.items:
        spelled = ITEM_SEPARATOR.join("".join([COORD_TOKENS[b] for b in i.bins]) for i in items)
        spans.append((phrase, spelled, [i.offset for i in items], [i.text for i in items]))
    if geometry.none:
        spans.append((phrase, "", geometry_at, []))
    if not items and not geometry.none and len(problems) == known_problems:
        problems.append(problem("no_geometry", geometry_at, repr(phrase)))


def _last_size(spans: list[Span]) -> int:
    """Return the number of coordinates of the last item, or of a box if there is none."""
    last = spans[-1][1].rpartition(ITEM_SEPARATOR)[2] if spans else ""
    return last.count("<") or BOX


class _Geometry:
    """Builds items from the tokens after ``<|box_start|>``."""

    def __init__(self, problems: list[Problem], inline: bool, last_size: int):
        self.items: list[ParsedItem] = []
        self.none = False
        self._problems = problems
        self._inline = inline
        self._last_size = last_size
        self._closed_at: int | None = None
        self._tail_commas = 0
        self._open_item()

    def read(self, text: str, start: int, stop: int, after: After) -> None:
        """Read the geometry between two offsets."""
        cut = None
        if after == "cut":
            cut = _CUT_TOKEN.search(text, max(start, stop - _LONGEST_TOKEN), stop)
        end = cut.start() if cut else stop
        for part in (_PARTS_INLINE if self._inline else _PARTS).finditer(text, start, end):
            kind, spelling, offset = part.lastgroup, part.group(), part.start()
            if kind == "coord":
                self._coordinate(spelling, offset)
            elif kind == "comma":
                self._comma(offset)
            elif spelling == BOX_END:
                self._box_end(offset)
            elif kind == "markup":
                self._report("stray_token", offset, spelling)
                self._apart = True
            elif kind == "word":
                self._word(spelling, offset)
        if self._closed_at is not None:
            self._check_tail(stop, after, cut)
        elif after == "cut":
            self._cut_off(end, cut.group() if cut else "")
        else:
            if not self._blank:
                self._close_item(end)
            self._report("unclosed_span", end)

    def _open_item(self) -> None:
        self._runs: list[ParsedItem] = []
        self._text: list[str] = []
        self._invalid = False  # by a coordinate out of range
        self._blank = True
        self._apart = False  # junk or markup came after the last coordinate
        self._in_junk = False

    def _close_item(self, offset: int) -> None:
        if self._blank:
            if self.items or self.none:
                self._report("separator", offset)
        elif self._runs and not self._invalid:
            boxes = all(len(run.bins) >= BOX and len(run.bins) % 2 == 0 for run in self._runs)
            text = self._transcription()
            for run in self._runs if boxes else [_joined(self._runs)]:
                if len(run.bins) % 2:
                    self._report("odd_coordinates", run.offset, f"{len(run.bins)} in a row")
                else:
                    self.items.append(run._replace(text=text))
        self._open_item()

    def _coordinate(self, spelling: str, offset: int) -> None:
        if self._closed_at is not None:
            self._report("stray_token", self._closed_at, BOX_END)
            self._closed_at = None
        if self._text:
            if self._transcription():
                self._close_item(offset)
                self._report("separator", offset)
            self._text.clear()
        number = BIN_OF.get(spelling)
        if number is None:
            self._report("out_of_range", offset, spelling)
            self._invalid = True
        elif self._apart or not self._runs:
            self._runs.append(ParsedItem([number], offset))
        else:
            self._runs[-1].bins.append(number)
        self._blank = self._apart = self._in_junk = False

    def _comma(self, offset: int) -> None:
        if self._closed_at is not None:
            self._tail_commas += 1
        elif self._blank:
            self._report("separator", offset)
        else:
            self._close_item(offset)

    def _box_end(self, offset: int) -> None:
        if self._closed_at is not None:
            self._report("stray_token", offset, BOX_END)
            return
        self._close_item(offset)
        self._closed_at = offset
        self._tail_commas = 0

    def _word(self, word: str, offset: int) -> None:
        if self._closed_at is None and self._inline and self._runs:
            self._text.append(word)
        elif self._closed_at is None and word.strip() == NONE and self._blank:
            self.none, self._blank = True, False
        elif self._closed_at is not None and word.strip() == ",":
            self._tail_commas += 1
        elif word.strip():
            if not self._in_junk:
                self._report("junk", offset, _quote(word))
            self._in_junk = self._apart = True
            self._blank = False

    def _check_tail(self, stop: int, after: After, cut: re.Match[str] | None) -> None:
        """Check the commas after ``<|box_end|>``: one before another span, none at the end."""
        if after == "cut" and (cut or self._tail_commas == 1):
            self._report("truncated", cut.start() if cut else stop)
        elif self._tail_commas != (1 if after == "span" else 0) and not self._in_junk:
            self._report("separator", stop)

    def _cut_off(self, end: int, token: str) -> None:
        """Keep the last item of a text that stops at ``end`` if the item is complete."""
        size = sum(len(run.bins) for run in self._runs)
        expected = len(self.items[-1].bins) if self.items else self._last_size
        finished = token.startswith("<|") or self._transcription() is not None
        more_to_come = len(token) > 1 and token[1].isdigit()
        if self._runs and not more_to_come and (finished or size == expected):
            self._close_item(end)
        elif self._runs:
            end = self._runs[0].offset
        self._report("truncated", end)

    def _transcription(self) -> str | None:
        return "".join(self._text).strip() or None

    def _report(self, kind: str, offset: int, detail: str = "") -> None:
        self._problems.append(problem(kind, offset, detail))


def _joined(runs: list[ParsedItem]) -> ParsedItem:
    return ParsedItem([number for run in runs for number in run.bins], runs[0].offset)


def _find(text: str, token: str, start: int, stop: int) -> int:
    """Return the offset of the token, or ``stop``."""
    found = text.find(token, start, stop)
    return stop if found < 0 else found


def _quote(text: str, limit: int = 40) -> str:
    bare = " ".join(text[: 2 * limit].split())
    return repr(bare if len(bare) <= limit else f"{bare[:limit]}…")
