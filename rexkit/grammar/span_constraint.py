"""Constraint of spans: which tokens may come next in a sequence of phrases with items."""

from __future__ import annotations

from rexkit.grammar.bins import NUM_BINS
from rexkit.grammar.constraint_steps import (
    ANY_BIN,
    FIRST_CORNER,
    Steps,
    TokenBudget,
    literal,
    one_of,
)
from rexkit.grammar.forms import SpanForm
from rexkit.grammar.tokens import ITEM_SEPARATOR
from rexkit.grammar.vocabulary import (
    INLINE,
    NO_TEXT,
    TEXT,
    TEXT_AFTER_LESS,
    TEXT_START,
    TEXT_VISIBLE,
    Choice,
    TextClass,
    Vocabulary,
    has_visible_text,
)

_FIRST_COORDINATE = {"bbox": FIRST_CORNER, "point": ANY_BIN, "polygon": ANY_BIN}
_MIN_COORDINATES = {"bbox": 4, "point": 2, "polygon": 6}


class SpanGrammar:
    """Generate the steps of one completion of spans.

    In all methods ``rest`` is the least number of tokens required after the part being written.

    Args:
        form: the form that the completion must have.
        vocabulary: the vocabulary of the model.
        budget: the tokens left; the caller counts it down.
    """

    def __init__(self, form: SpanForm, vocabulary: Vocabulary, budget: TokenBudget):
        self.form, self.v, self.budget = form, vocabulary, budget
        self.inline = form.transcription == "inline"
        self.first_coordinate = _FIRST_COORDINATE[form.geometry]
        self.item_length = _MIN_COORDINATES[form.geometry] + self.inline
        """The least number of tokens of an item."""

    def steps(self) -> Steps[None]:
        """Yield the choices of the whole completion."""
        if self.form.phrases_are_free:
            yield from self._free_spans()
        else:
            yield from self._given_spans()

    def _given_spans(self) -> Steps[None]:
        v = self.v
        # A tokenizer that normalises may give two phrases the same tokens.
        pending = list(dict.fromkeys(v.encode(phrase) for phrase in self.form.phrases))
        rest = 1 + sum(self._span_length(ids) for ids in pending)
        self.budget.require(rest - len(v.span_separator))
        while True:
            yield Choice(tokens=(v.object_ref_start,))
            options = pending if self.form.order == "any" else pending[:1]
            number = yield from one_of([(*ids, v.object_ref_end) for ids in options])
            rest -= self._span_length(pending.pop(number))
            yield Choice(tokens=(v.box_start,))
            yield from self._geometry(rest, rest_of_none=rest)
            if not pending:
                break
            yield from literal(v.span_separator)
        yield Choice(tokens=(v.end,))

    def _free_spans(self) -> Steps[None]:
        """Yield free phrases with items, or ``None`` for every phrase of the form."""
        v, form, budget = self.v, self.form, self.budget
        given = [v.encode(phrase) for phrase in form.phrases]
        nones = 1 + sum(self._span_length(ids) for ids in given[1:])
        # Start of phrase, text, end, start of geometry, end, and the end token.
        least = 6 + self.item_length
        separator = len(v.span_separator)
        budget.require(max(least, nones + self._span_length(given[0]) - separator if given else 0))
        spans = 0
        while True:
            spans += 1
            yield Choice(tokens=(v.object_ref_start,))
            text = yield from self._phrase(least - 2)
            yield Choice(tokens=(v.box_start,))
            may_be_none = spans == 1 and (not given or text == given[0])
            items = yield from self._geometry(1, rest_of_none=nones if may_be_none else None)
            if not items:
                for ids in given[1:]:
                    yield from literal((*v.span_separator, v.object_ref_start, *ids))
                    yield from literal((v.object_ref_end, v.box_start, *v.none, v.box_end))
            more = items > 0 and (form.max_spans is None or spans < form.max_spans)
            if not more or budget.remaining < separator + least:
                yield Choice(tokens=(v.end,))
                return
            if (yield Choice(tokens=(v.end, v.span_separator[0]))) == v.end:
                return
            yield from literal(v.span_separator[1:])

    def _span_length(self, phrase: tuple[int, ...]) -> int:
        """Return the least number of tokens of a phrase's span, with the separator after it."""
        inside = min(len(self.v.none), self.item_length)
        return len(phrase) + 4 + inside + len(self.v.span_separator)

    def _phrase(self, rest: int) -> Steps[tuple[int, ...]]:
        """Yield a free text and its end token; ``rest`` counts from after its last token."""
        end = self.v.object_ref_end
        text: list[int] = []
        spelled = b""
        while True:
            closing = (end,) if has_visible_text(spelled, False) else ()
            kind = self._text_class(spelled, len(text), rest)
            token = yield Choice(tokens=closing, text=kind)
            if token == end:
                return tuple(text)
            text.append(token)
            spelled += self.v.spellings[token]

    def _text_class(self, spelled: bytes, length: int, rest: int) -> TextClass:
        """Return the class of tokens that may follow; the last one must make the text visible."""
        limit = self.form.max_text
        left = self.budget.remaining - rest
        left = left if limit is None else min(left, limit - length)
        if left <= 0:
            return NO_TEXT
        shift = INLINE * self.inline
        if left == 1 and not has_visible_text(spelled, self.inline):
            return TEXT_VISIBLE + shift
        if spelled.endswith(b"<"):
            return TEXT_AFTER_LESS + shift
        return (TEXT if spelled else TEXT_START) + shift

    def _geometry(self, rest: int, rest_of_none: int | None) -> Steps[int]:
        """Yield ``None`` or items up to the end of the span; return the number of items.

        Args:
            rest: the least number of tokens after the span.
            rest_of_none: the same if the span is ``None``; None if that is not allowed.
        """
        v = self.v
        none = rest_of_none is not None and self.budget.remaining > len(v.none) + rest_of_none
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
        """Yield the coordinates after the first one; return the token after them."""
        bin_of = self.v.bin_of
        if self.form.geometry == "polygon":
            return (yield from self._polygon(items, rest))
        second = yield self.first_coordinate
        if self.form.geometry == "bbox":
            yield Choice(bin_of[first] + 1, NUM_BINS)
            yield Choice(bin_of[second] + 1, NUM_BINS)
        return (yield self._stop(items, rest))

    def _polygon(self, items: int, rest: int) -> Steps[int]:
        limit = self.form.max_points
        for _ in range(5):
            yield ANY_BIN
        corners = 3
        while True:
            fits = self.budget.remaining >= 2 + self.inline + 1 + rest
            longer = fits and (limit is None or corners < limit)
            stop = self._stop(items, rest)
            token = yield stop._replace(high=NUM_BINS) if longer else stop
            if token not in self.v.bin_of:
                return token
            yield ANY_BIN
            corners += 1

    def _text(self, token: int, items: int, rest: int) -> Steps[int]:
        """Yield the text after an item; return the token that ends the span or starts an item.

        A comma belongs to the text unless a coordinate follows it; it may be part of a longer
        token.
        """
        v = self.v
        length = 0
        spelled = b""
        while True:
            length += 1
            spelled += v.spellings[token]
            comma = spelled.endswith(ITEM_SEPARATOR.encode())
            choice = Choice()
            if has_visible_text(spelled, True):
                choice = self._start(items, rest) if comma else choice
                more = () if comma or not self._more(items, rest) else v.item_separator
                choice = choice._replace(tokens=(v.box_end, *more))
            kind = self._text_class(spelled, length, rest + 1)
            token = yield choice._replace(text=kind)
            if token == v.box_end or token in v.bin_of:
                return token

    def _start(self, items: int, rest: int) -> Choice:
        """Return the first coordinate of another item, if one is allowed."""
        return self.first_coordinate if self._more(items, rest, after_separator=True) else Choice()

    def _stop(self, items: int, rest: int) -> Choice:
        """Return the tokens that may follow the coordinates of an item."""
        if self.inline:
            return Choice(text=self._text_class(b"", 0, rest + 1))
        separator = self.v.item_separator[:1] if self._more(items, rest) else ()
        return Choice(tokens=(self.v.box_end, *separator))

    def _more(self, items: int, rest: int, after_separator: bool = False) -> bool:
        """Return whether another item is allowed and fits."""
        limit = self.form.max_items
        separator = 0 if after_separator else len(self.v.item_separator)
        fits = self.budget.remaining >= separator + self.item_length + 1 + rest
        return fits and (limit is None or items < limit)
