"""Keypoint JSON over token ids: what may come next in an answer of numbered instances."""

from __future__ import annotations

import json

from rexkit.grammar.bins import NUM_BINS
from rexkit.grammar.forms import KeypointForm
from rexkit.grammar.steps import ANY_BIN, FIRST_CORNER, Room, Steps, literal, one_of
from rexkit.grammar.tokens import INVISIBLE
from rexkit.grammar.vocabulary import Choice, Vocabulary


class KeypointGrammar:
    """The steps of one answer in keypoint JSON.

    Texts between coordinates are spelled as the tokenizer spells them alone, so a choice is between
    the spellings of whole texts; the white space is that of `write_keypoints`.
    """

    def __init__(self, form: KeypointForm, vocabulary: Vocabulary, room: Room):
        self.form, self.v, self.room = form, vocabulary, room
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
        self.room.need(len(self.empty) + 1)
        counts = dict.fromkeys(self.form.phrases, 0)
        end, before = self.empty, "```json\n{"
        while True:
            openings = self._openings(counts, before)
            chosen = yield from one_of([end, *openings.values()])
            if chosen == 0:
                break
            counts[list(openings)[chosen - 1]] += 1
            seen = yield from self._being()
            end, before = self.gaps[seen][-1], ' "}}, ' if seen else '"}}, '
        yield Choice(tokens=(self.v.end,))

    def _openings(self, counts: dict[str, int], before: str) -> dict[str, tuple[int, ...]]:
        """How another instance of each phrase starts, as far as there may be one."""
        most = self.form.max_items
        if most is not None and sum(counts.values()) >= most:
            return {}
        starts = {}
        for phrase, count in counts.items():
            name = json.dumps(f"{phrase}{count + 1}", ensure_ascii=False)
            ids = self.v.spell(f'{before}{name}: {{"bbox": " ')
            if self.room.left >= len(ids) + self.being:
                starts[phrase] = ids
        return starts

    def _being(self) -> Steps[bool]:
        """One instance up to its last value; returns whether that is a position."""
        bin_of, space = self.v.bin_of, self.space
        x0 = bin_of[(yield FIRST_CORNER)]
        yield from literal(space)
        y0 = bin_of[(yield FIRST_CORNER)]
        yield from literal(space)
        yield Choice(x0 + 1, NUM_BINS)
        yield from literal(space)
        yield Choice(y0 + 1, NUM_BINS)
        yield from literal(self.to_keypoints)
        last = len(self.form.keypoints) - 1
        for number in range(last + 1):
            seen = yield from self._keypoint(number, self.least[last - number])
            if number < last:
                yield from literal(self.gaps[seen][number])
        return seen

    def _keypoint(self, number: int, rest: int) -> Steps[bool]:
        """A position or "unvisible"; ``rest`` tokens are needed after what closes it."""
        position = 2 * len(self.space) + 2 + len(self.gaps[True][number])
        unseen = len(self.unseen) + len(self.gaps[False][number])
        options = [
            *([self.space] if self.room.left >= position + rest else []),
            *([self.unseen] if self.room.left >= unseen + rest else []),
        ]
        chosen = options[(yield from one_of(options))]
        if chosen is self.unseen:
            return False
        yield ANY_BIN
        yield from literal(self.space)
        yield ANY_BIN
        return True
