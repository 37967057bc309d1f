"""Spans over token ids: what may come next in an answer of phrases with items."""

from __future__ import annotations

from rexkit.grammar.bins import NUM_BINS
from rexkit.grammar.forms import SpanForm
from rexkit.grammar.steps import ANY_BIN, FIRST_CORNER, Room, Steps, literal, one_of
from rexkit.grammar.tokens import ITEM_SEPARATOR
from rexkit.grammar.vocabulary import (
    INLINE,
    NO_TEXT,
    TEXT,
    TEXT_AFTER_LESS,
    TEXT_SEEN,
    TEXT_START,
    Choice,
    TextClass,
    Vocabulary,
    can_be_seen,
)

_FIRST = {"bbox": FIRST_CORNER, "point": ANY_BIN, "polygon": ANY_BIN}
_FEWEST = {"bbox": 4, "point": 2, "polygon": 6}


class SpanGrammar:
    """The steps of one answer of spans.

    ``rest`` is everywhere the least number of tokens after the part that is being written.
    """

    def __init__(self, form: SpanForm, vocabulary: Vocabulary, room: Room):
        self.form, self.v, self.room = form, vocabulary, room
        self.inline = form.transcription == "inline"
        self.first = _FIRST[form.geometry]
        self.item = _FEWEST[form.geometry] + self.inline
        """The least number of tokens of an item."""

    def answer(self) -> Steps[None]:
        if self.form.phrases_are_free:
            yield from self._free_spans()
        else:
            yield from self._asked_spans()

    def _asked_spans(self) -> Steps[None]:
        v = self.v
        # Two phrases may be spelled with the same tokens, if the tokenizer normalises.
        pending = list(dict.fromkeys(v.spell(phrase) for phrase in self.form.phrases))
        rest = 1 + sum(self._least(ids) for ids in pending)
        self.room.need(rest - len(v.span_separator))
        while True:
            yield Choice(tokens=(v.object_ref_start,))
            options = pending if self.form.order == "any" else pending[:1]
            number = yield from one_of([(*ids, v.object_ref_end) for ids in options])
            rest -= self._least(pending.pop(number))
            yield Choice(tokens=(v.box_start,))
            yield from self._geometry(rest, rest_of_none=rest)
            if not pending:
                break
            yield from literal(v.span_separator)
        yield Choice(tokens=(v.end,))

    def _free_spans(self) -> Steps[None]:
        """Texts of the model's own with items; or None, for all that was asked."""
        v, form, room = self.v, self.form, self.room
        asked = [v.spell(phrase) for phrase in form.phrases]
        nones = 1 + sum(self._least(ids) for ids in asked[1:])
        least = 6 + self.item  # and start of phrase, text, end, start of geometry, end, end of all
        separator = len(v.span_separator)
        room.need(max(least, nones + self._least(asked[0]) - separator if asked else 0))
        spans = 0
        while True:
            spans += 1
            yield Choice(tokens=(v.object_ref_start,))
            text = yield from self._phrase(least - 2)
            yield Choice(tokens=(v.box_start,))
            unseen = spans == 1 and (not asked or text == asked[0])
            items = yield from self._geometry(1, rest_of_none=nones if unseen else None)
            if not items:
                for ids in asked[1:]:
                    yield from literal((*v.span_separator, v.object_ref_start, *ids))
                    yield from literal((v.object_ref_end, v.box_start, *v.none, v.box_end))
            more = items > 0 and (form.max_spans is None or spans < form.max_spans)
            if not more or room.left < separator + least:
                yield Choice(tokens=(v.end,))
                return
            if (yield Choice(tokens=(v.end, v.span_separator[0]))) == v.end:
                return
            yield from literal(v.span_separator[1:])

    def _least(self, phrase: tuple[int, ...]) -> int:
        """The shortest span of a phrase, with the separator to its neighbour."""
        inside = min(len(self.v.none), self.item)
        return len(phrase) + 4 + inside + len(self.v.span_separator)

    def _phrase(self, rest: int) -> Steps[tuple[int, ...]]:
        """A free text and its end; ``rest`` tokens are needed after its last token."""
        end = self.v.object_ref_end
        text: list[int] = []
        spelled = b""
        while True:
            closing = (end,) if can_be_seen(spelled, False) else ()
            kind = self._text_class(spelled, len(text), rest)
            token = yield Choice(tokens=closing, text=kind)
            if token == end:
                return tuple(text)
            text.append(token)
            spelled += self.v.spellings[token]

    def _text_class(self, spelled: bytes, length: int, rest: int) -> TextClass:
        """Which tokens may follow in a text so far; the last one must be sure to be seen."""
        most = self.form.max_text
        room = self.room.left - rest
        room = room if most is None else min(room, most - length)
        if room <= 0:
            return NO_TEXT
        shift = INLINE * self.inline
        if room == 1 and not can_be_seen(spelled, self.inline):
            return TEXT_SEEN + shift
        if spelled.endswith(b"<"):
            return TEXT_AFTER_LESS + shift
        return (TEXT if spelled else TEXT_START) + shift

    def _geometry(self, rest: int, rest_of_none: int | None) -> Steps[int]:
        """None or items up to the end of the span; returns how many items.

        Args:
            rest: the least number of tokens after the span.
            rest_of_none: likewise if the span is None; None where it may not be.
        """
        v = self.v
        none = rest_of_none is not None and self.room.left > len(v.none) + rest_of_none
        tokens = v.none[:1] if none else ()
        token = yield self._start(0, rest)._replace(tokens=tokens)
        if token in tokens:
            yield from literal((*v.none[1:], v.box_end))
            return 0
        items = 0
        while True:
            items += 1
            token = yield from self._shape(token, items, rest)
            if self.inline:
                token = yield from self._text(token, items, rest)
            if token == v.box_end:
                return items
            if not self.inline:
                yield from literal(v.item_separator[1:])
                token = yield self._start(items, rest)

    def _shape(self, first: int, items: int, rest: int) -> Steps[int]:
        """The coordinates after the first one; returns the token after them."""
        bin_of = self.v.bin_of
        if self.form.geometry == "polygon":
            return (yield from self._polygon(items, rest))
        second = yield self.first
        if self.form.geometry == "bbox":
            yield Choice(bin_of[first] + 1, NUM_BINS)
            yield Choice(bin_of[second] + 1, NUM_BINS)
        return (yield self._stop(items, rest))

    def _polygon(self, items: int, rest: int) -> Steps[int]:
        most = self.form.max_points
        for _ in range(5):
            yield ANY_BIN
        corners = 3
        while True:
            room = self.room.left >= 2 + self.inline + 1 + rest
            longer = room and (most is None or corners < most)
            stop = self._stop(items, rest)
            token = yield stop._replace(high=NUM_BINS) if longer else stop
            if token not in self.v.bin_of:
                return token
            yield ANY_BIN
            corners += 1

    def _text(self, token: int, items: int, rest: int) -> Steps[int]:
        """The text after an item; returns the end of the span, or where the next item starts.

        A comma belongs to the text unless a coordinate follows, and may be part of a longer token.
        """
        v = self.v
        length = 0
        spelled = b""
        while True:
            length += 1
            spelled += v.spellings[token]
            comma = spelled.endswith(ITEM_SEPARATOR.encode())
            choice = Choice()
            if can_be_seen(spelled, True):
                choice = self._start(items, rest) if comma else choice
                more = () if comma or not self._more(items, rest) else v.item_separator
                choice = choice._replace(tokens=(v.box_end, *more))
            kind = self._text_class(spelled, length, rest + 1)
            token = yield choice._replace(text=kind)
            if token == v.box_end or token in v.bin_of:
                return token

    def _start(self, items: int, rest: int) -> Choice:
        """The first coordinate of another item, if there may be one."""
        return self.first if self._more(items, rest, after_separator=True) else Choice()

    def _stop(self, items: int, rest: int) -> Choice:
        """What follows the coordinates of an item."""
        if self.inline:
            return Choice(text=self._text_class(b"", 0, rest + 1))
        separator = self.v.item_separator[:1] if self._more(items, rest) else ()
        return Choice(tokens=(self.v.box_end, *separator))

    def _more(self, items: int, rest: int, after_separator: bool = False) -> bool:
        most = self.form.max_items
        separator = 0 if after_separator else len(self.v.item_separator)
        room = self.room.left >= separator + self.item + 1 + rest
        return room and (most is None or items < most)
