"""Constraint of keypoint JSON: which tokens may come next in a list of numbered instances."""

from __future__ import annotations

import json

from rexkit.grammar.bins import NUM_BINS
from rexkit.grammar.constraint_steps import (
    ANY_BIN,
    FIRST_CORNER,
    Steps,
    TokenBudget,
    literal,
    one_of,
)
from rexkit.grammar.forms import KeypointForm
from rexkit.grammar.tokens import INVISIBLE
from rexkit.grammar.vocabulary import Choice, Vocabulary


class KeypointGrammar:
    """Generate the steps of one completion in keypoint JSON.

    The texts between coordinates are tokenized by themselves, so a choice is between the token
    sequences of whole texts. White space is that of `write_keypoints`.

    Args:
        form: the form that the completion must have.
        vocabulary: the vocabulary of the model.
        budget: the tokens left; the caller counts it down.
    """

    def __init__(self, form: KeypointForm, vocabulary: Vocabulary, budget: TokenBudget):
        self.form, self.v, self.budget = form, vocabulary, budget
        encode = vocabulary.encode
        keys = [json.dumps(name, ensure_ascii=False) for name in form.keypoints]
        self.empty = encode("```json\n{}\n```")
        self.space = encode(" ")
        self.invisible = encode(INVISIBLE)
        self.to_keypoints = encode(f' ", "keypoints": {{{keys[0]}: "')
        quotes = {True: ' "', False: '"'}  # after a position, and after "unvisible"
        self.gaps = {
            visible: [
                *(encode(f'{quote}, {key}: "') for key in keys[1:]),
                encode(f"{quote}}}}}}}\n```"),
            ]
            for visible, quote in quotes.items()
        }
        position = 2 * len(self.space) + 2
        self.least = [1]
        """The least number of tokens from within each keypoint's quotes to the end, backwards."""
        for after_position, after_invisible in zip(
            *(reversed(self.gaps[visible]) for visible in quotes), strict=True
        ):
            shorter = min(
                position + len(after_position), len(self.invisible) + len(after_invisible)
            )
            self.least.append(self.least[-1] + shorter)
        self.instance_length = 4 + 3 * len(self.space) + len(self.to_keypoints) + self.least[-1]
        """The least number of tokens from the first coordinate of an instance to the end."""

    def steps(self) -> Steps[None]:
        """Yield the choices of the whole completion."""
        self.budget.require(len(self.empty) + 1)
        counts = dict.fromkeys(self.form.phrases, 0)
        end, before = self.empty, "```json\n{"
        while True:
            openings = self._openings(counts, before)
            chosen = yield from one_of([end, *openings.values()])
            if chosen == 0:
                break
            counts[list(openings)[chosen - 1]] += 1
            visible = yield from self._instance()
            end, before = self.gaps[visible][-1], ' "}}, ' if visible else '"}}, '
        yield Choice(tokens=(self.v.end,))

    def _openings(self, counts: dict[str, int], before: str) -> dict[str, tuple[int, ...]]:
        """Return the opening tokens of another instance, for each phrase that may have one."""
        limit = self.form.max_items
        if limit is not None and sum(counts.values()) >= limit:
            return {}
        openings = {}
        for phrase, count in counts.items():
            name = json.dumps(f"{phrase}{count + 1}", ensure_ascii=False)
            ids = self.v.encode(f'{before}{name}: {{"bbox": " ')
            if self.budget.remaining >= len(ids) + self.instance_length:
                openings[phrase] = ids
        return openings

    def _instance(self) -> Steps[bool]:
        """Yield one instance up to its last value; return whether that is a position."""
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
            visible = yield from self._keypoint(number, self.least[last - number])
            if number < last:
                yield from literal(self.gaps[visible][number])
        return visible

    def _keypoint(self, number: int, rest: int) -> Steps[bool]:
        """Yield a position or "unvisible"; ``rest`` tokens are needed after what closes it."""
        position = 2 * len(self.space) + 2 + len(self.gaps[True][number])
        invisible = len(self.invisible) + len(self.gaps[False][number])
        options = [
            *([self.space] if self.budget.remaining >= position + rest else []),
            *([self.invisible] if self.budget.remaining >= invisible + rest else []),
        ]
        chosen = options[(yield from one_of(options))]
        if chosen is self.invisible:
            return False
        yield ANY_BIN
        yield from literal(self.space)
        yield ANY_BIN
        return True
