"""The answer grammar over token ids: what may come next, so that an answer cannot go wrong.

The grammar is written as coroutines. Each yields the choice of tokens that may come next and is
sent the one that came, so the code reads as the sentence it spells, and a step costs microseconds
whatever the size of the vocabulary. An answer always ends in time: before anything optional, the
least number of tokens that would still be needed is compared with those left.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TypeVar

from rexkit.grammar.bins import LAST_BIN, NUM_BINS
from rexkit.grammar.forms import AnswerForm, KeypointForm, SpanForm
from rexkit.grammar.tokens import INVISIBLE, ITEM_SEPARATOR
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

T = TypeVar("T")
Steps = Generator[Choice, int, T]

ANY_BIN = Choice(0, NUM_BINS)
# A corner of a box leaves room for the other one.
FIRST_CORNER = Choice(0, LAST_BIN)
_FIRST = {"bbox": FIRST_CORNER, "point": ANY_BIN, "polygon": ANY_BIN}
_FEWEST = {"bbox": 4, "point": 2, "polygon": 6}


class Walk:
    """One answer on its way through the grammar.

    Args:
        form: what the answer must be.
        vocabulary: of the model.
        max_tokens: how long it may become, its end included.

    Attributes:
        choice: what may come next; after the end, only the end.
        left: how many tokens may still come.
        done: whether the end has come.

    Raises:
        ValueError: not even the shortest answer has room.
    """

    def __init__(self, form: AnswerForm, vocabulary: Vocabulary, max_tokens: int):
        self.left = max_tokens
        self.done = False
        self._vocabulary = vocabulary
        grammar = _Keypoints if isinstance(form, KeypointForm) else _Spans
        self._steps = grammar(form, vocabulary, self).answer()  # type: ignore[arg-type]
        self.choice = next(self._steps)

    def advance(self, token: int) -> None:
        """Take the token that came; after the end nothing changes any more.

        Raises:
            ValueError: it is not among those that may come.
        """
        if self.done:
            return
        if not self._vocabulary.allows(self.choice, token):
            raise ValueError(f"token {token} may not come here; the choice was {self.choice}")
        self.left -= 1
        try:
            self.choice = self._steps.send(token)
        except StopIteration:
            self.done = True
            self.choice = Choice(tokens=(self._vocabulary.end,))

    def need(self, least: int) -> None:
        """Check that there is room for the shortest answer."""
        if self.left < least:
            raise ValueError(
                f"the shortest answer takes {least} tokens, and only {self.left} are allowed; "
                "raise max_new_tokens or ask for fewer phrases"
            )


def _literal(ids: Sequence[int]) -> Steps[None]:
    for token in ids:
        yield Choice(tokens=(token,))


def _one_of(spellings: Sequence[Sequence[int]]) -> Steps[int]:
    """One of several spellings, none of which begins another; returns its number."""
    still = list(range(len(spellings)))
    for place in range(max(map(len, spellings))):
        tokens = dict.fromkeys(spellings[i][place] for i in still)
        token = yield Choice(tokens=tuple(tokens))
        still = [i for i in still if spellings[i][place] == token]
        if len(still) == 1 and len(spellings[still[0]]) == place + 1:
            break
    return still[0]


class _Spans:
    def __init__(self, form: SpanForm, vocabulary: Vocabulary, walk: Walk):
        self.form, self.v, self.walk = form, vocabulary, walk
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
        self.walk.need(rest - len(v.span_separator))
        while True:
            yield Choice(tokens=(v.object_ref_start,))
            options = pending if self.form.order == "any" else pending[:1]
            number = yield from _one_of([(*ids, v.object_ref_end) for ids in options])
            rest -= self._least(pending.pop(number))
            yield Choice(tokens=(v.box_start,))
            yield from self._geometry(rest, rest_of_none=rest)
            if not pending:
                break
            yield from _literal(v.span_separator)
        yield Choice(tokens=(v.end,))

    def _free_spans(self) -> Steps[None]:
        """Texts of the model's own with items; or None, for all that was asked."""
        v, form, walk = self.v, self.form, self.walk
        asked = [v.spell(phrase) for phrase in form.phrases]
        nones = 1 + sum(self._least(ids) for ids in asked[1:])
        least = 6 + self.item  # and start of phrase, text, end, start of geometry, end, end of all
        separator = len(v.span_separator)
        walk.need(max(least, nones + self._least(asked[0]) - separator if asked else 0))
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
                    yield from _literal((*v.span_separator, v.object_ref_start, *ids))
                    yield from _literal((v.object_ref_end, v.box_start, *v.none, v.box_end))
            more = items > 0 and (form.max_spans is None or spans < form.max_spans)
            if not more or walk.left < separator + least:
                yield Choice(tokens=(v.end,))
                return
            if (yield Choice(tokens=(v.end, v.span_separator[0]))) == v.end:
                return
            yield from _literal(v.span_separator[1:])

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
        room = self.walk.left - rest
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
        none = rest_of_none is not None and self.walk.left > len(v.none) + rest_of_none
        tokens = v.none[:1] if none else ()
        token = yield self._start(0, rest)._replace(tokens=tokens)
        if token in tokens:
            yield from _literal((*v.none[1:], v.box_end))
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
                yield from _literal(v.item_separator[1:])
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
            room = self.walk.left >= 2 + self.inline + 1 + rest
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
        room = self.walk.left >= separator + self.item + 1 + rest
        return room and (most is None or items < most)


class _Keypoints:
    """Keypoint JSON. Texts between coordinates are spelled as the tokenizer spells them alone, so a
    choice is between the spellings of whole texts; the white space is that of `write_keypoints`.
    """

    def __init__(self, form: KeypointForm, vocabulary: Vocabulary, walk: Walk):
        self.form, self.v, self.walk = form, vocabulary, walk
        spell = vocabulary.spell
        keys = [json.dumps(name, ensure_ascii=False) for name in form.keypoints]
        self.empty = spell("```json\n{}\n```")
        self.space = spell(" ")
        self.unseen = spell(INVISIBLE)
        self.to_keypoints = spell(f' ", "keypoints": {{{keys[0]}: "')
        quotes = {True: ' "', False: '"'}  # after a position, and after "unvisible"
        self.gaps = {
            seen: [*(spell(f'{quote}, {key}: "') for key in keys[1:]), spell(f"{quote}}}}}}}\n```")]
            for seen, quote in quotes.items()
        }
        position = 2 * len(self.space) + 2
        self.least = [1]
        """The least number of tokens from within each keypoint's quotes to the end, backwards."""
        for seen, unseen in zip(*(reversed(self.gaps[s]) for s in quotes), strict=True):
            shorter = min(position + len(seen), len(self.unseen) + len(unseen))
            self.least.append(self.least[-1] + shorter)
        self.being = 4 + 3 * len(self.space) + len(self.to_keypoints) + self.least[-1]

    def answer(self) -> Steps[None]:
        most = self.form.max_items
        self.walk.need(len(self.empty) + 1)
        number = 1
        options = [self.empty, self._opening(number, "```json\n{")]
        while True:
            fits = self.walk.left >= len(options[1]) + self.being
            more = fits and (most is None or number <= most)
            if (yield from _one_of(options if more else options[:1])) == 0:
                break
            seen = yield from self._being()
            number += 1
            closing = ' "}}, ' if seen else '"}}, '
            options = [self.gaps[seen][-1], self._opening(number, closing)]
        yield Choice(tokens=(self.v.end,))

    def _opening(self, number: int, before: str) -> tuple[int, ...]:
        name = json.dumps(f"{self.form.phrase}{number}", ensure_ascii=False)
        return self.v.spell(f'{before}{name}: {{"bbox": " ')

    def _being(self) -> Steps[bool]:
        """One instance up to its last value; returns whether that is a position."""
        bin_of, space = self.v.bin_of, self.space
        x0 = bin_of[(yield FIRST_CORNER)]
        yield from _literal(space)
        y0 = bin_of[(yield FIRST_CORNER)]
        yield from _literal(space)
        yield Choice(x0 + 1, NUM_BINS)
        yield from _literal(space)
        yield Choice(y0 + 1, NUM_BINS)
        yield from _literal(self.to_keypoints)
        last = len(self.form.keypoints) - 1
        for number in range(last + 1):
            seen = yield from self._keypoint(number, self.least[last - number])
            if number < last:
                yield from _literal(self.gaps[seen][number])
        return seen

    def _keypoint(self, number: int, rest: int) -> Steps[bool]:
        """A position or "unvisible"; ``rest`` tokens are needed after what closes it."""
        position = 2 * len(self.space) + 2 + len(self.gaps[True][number])
        unseen = len(self.unseen) + len(self.gaps[False][number])
        options = [
            *([self.space] if self.walk.left >= position + rest else []),
            *([self.unseen] if self.walk.left >= unseen + rest else []),
        ]
        chosen = options[(yield from _one_of(options))]
        if chosen is self.unseen:
            return False
        yield ANY_BIN
        yield from _literal(self.space)
        yield ANY_BIN
        return True
