"""Spans that are not to the letter: what can be read of them, and what is wrong.

A span begins at every ``<|object_ref_start|>``, so one broken span never hides the next. One that
only has white space between its tokens is right as it is. In others the tokens are taken one by
one:

- Text between items is junk. Where it stands inside an item, the coordinates on both sides are
  items of their own if each could be a box or polygon, and one item otherwise.
- ``<|box_end|>`` closes the span only if no coordinates follow before the next span.
- The last item of a text that stops inside a span is kept if it has as many coordinates as the item
  before it in the answer, or four where there is none.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rexkit.grammar.lazy_instances import BOX, Span
from rexkit.grammar.pattern import LOOSE
from rexkit.grammar.problems import problem
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
"""What follows a stretch of text: another span, the end of the turn, or nothing at all."""

# Anything in brackets stands where a coordinate would, so <-5> or <x> spoils its item: without it
# the coordinates left over could pass for a point or a box.
_PARTS = re.compile(
    r"(?P<coord><[^<>|,]*>)|(?P<comma>,)|(?P<markup><\|\w+\|>)|\s+|(?P<word>[^<,\s]+|<)"
)
# With transcriptions between the coordinates only digits in brackets are coordinates, and only a
# comma before a coordinate ends an item. White space belongs to the text.
_PARTS_INLINE = re.compile(
    r"(?P<coord><[0-9]+>)|(?P<comma>,)(?=\s*<[0-9]+>)|(?P<markup><\|\w+\|>)|(?P<word>[^<,]+|[<,])"
)
_CUT_TOKEN = re.compile(r"(?:<[0-9]{0,3}|<\|\w*\|?|(?<=\|>)(?:N|No|Non))\Z")
_LONGEST_TOKEN = 24


class Item(NamedTuple):
    """One point, box or polygon in bins, with its place in the text."""

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
    """Read a stretch of text that is not canonical.

    Args:
        text: the whole answer; offsets are in it.
        start: where the stretch begins: at a span, or at text before the first one.
        stop: where it ends: at a span, or at the end of the answer.
        after: what is at ``stop``.
        spans: those before the stretch; what is read is added to them.
        problems: where problems go.
        inline: transcriptions stand after the coordinates of each item.

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
        match = None if inline else LOOSE.match(text, begin, limit)
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
    geometry = _Geometry(problems, inline, _last_size(spans))
    geometry.read(text, geometry_at, stop, after)
    if items := geometry.items:
        spelled = ITEM_SEPARATOR.join("".join([COORD_TOKENS[b] for b in i.bins]) for i in items)
        spans.append((phrase, spelled, [i.offset for i in items], [i.text for i in items]))
    if geometry.none:
        spans.append((phrase, "", geometry_at, []))
    if not items and not geometry.none and len(problems) == known_problems:
        problems.append(problem("no_geometry", geometry_at, repr(phrase)))


def _last_size(spans: list[Span]) -> int:
    """How many coordinates the last item has; those of a box if there is none."""
    last = spans[-1][1].rpartition(ITEM_SEPARATOR)[2] if spans else ""
    return last.count("<") or BOX


class _Geometry:
    """Takes the tokens after ``<|box_start|>`` and makes items of them."""

    def __init__(self, problems: list[Problem], inline: bool, last_size: int):
        self.items: list[Item] = []
        self.none = False
        self._problems = problems
        self._inline = inline
        self._last_size = last_size
        self._closed_at: int | None = None
        self._tail_commas = 0
        self._open_item()

    def read(self, text: str, start: int, stop: int, after: After) -> None:
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
        self._runs: list[Item] = []
        self._text: list[str] = []
        self._spoilt = False  # by a coordinate that is none
        self._blank = True
        self._apart = False  # junk or markup came after the last coordinate
        self._in_junk = False

    def _close_item(self, offset: int) -> None:
        if self._blank:
            if self.items or self.none:
                self._report("separator", offset)
        elif self._runs and not self._spoilt:
            boxes = all(len(run.bins) >= BOX and len(run.bins) % 2 == 0 for run in self._runs)
            for run in self._runs if boxes else [_joined(self._runs)]:
                if len(run.bins) % 2:
                    self._report("odd_coordinates", run.offset, f"{len(run.bins)} in a row")
                else:
                    self.items.append(run._replace(text=self._transcription()))
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
            self._spoilt = True
        elif self._apart or not self._runs:
            self._runs.append(Item([number], offset))
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
        """After ``<|box_end|>``: one comma if a span follows, none at the end."""
        if after == "cut" and (cut or self._tail_commas == 1):
            self._report("truncated", cut.start() if cut else stop)
        elif self._tail_commas != (1 if after == "span" else 0) and not self._in_junk:
            self._report("separator", stop)

    def _cut_off(self, end: int, token: str) -> None:
        """The text stopped at ``end``, perhaps within a token: is the last item complete?"""
        size = sum(len(run.bins) for run in self._runs)
        wanted = len(self.items[-1].bins) if self.items else self._last_size
        finished = token.startswith("<|") or self._transcription() is not None
        more_to_come = len(token) > 1 and token[1].isdigit()
        if self._runs and not more_to_come and (finished or size == wanted):
            self._close_item(end)
        elif self._runs:
            end = self._runs[0].offset
        self._report("truncated", end)

    def _transcription(self) -> str | None:
        return "".join(self._text).strip() or None

    def _report(self, kind: str, offset: int, detail: str = "") -> None:
        self._problems.append(problem(kind, offset, detail))


def _joined(runs: list[Item]) -> Item:
    return Item([number for run in runs for number in run.bins], runs[0].offset)


def _find(text: str, token: str, start: int, stop: int) -> int:
    """Where the token is, or ``stop``."""
    found = text.find(token, start, stop)
    return stop if found < 0 else found


def _quote(text: str, most: int = 40) -> str:
    bare = " ".join(text[: 2 * most].split())
    return repr(bare if len(bare) <= most else f"{bare[:most]}…")
