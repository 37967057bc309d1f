"""Steps through the answer grammar: coroutines that yield a choice and are sent what came."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rexkit.grammar.bins import LAST_BIN, NUM_BINS
from rexkit.grammar.vocabulary import Choice

T = TypeVar("T")
Steps = Generator[Choice, int, T]

ANY_BIN = Choice(0, NUM_BINS)
FIRST_CORNER = Choice(0, LAST_BIN)
"""A coordinate of a box's first corner, which leaves room for the other one."""


@dataclass(slots=True)
class Room:
    """How many tokens may still come, the one that is chosen now included."""

    left: int

    def need(self, least: int) -> None:
        """Check that there is room for the shortest answer.

        Raises:
            ValueError: there is not.
        """
        if self.left < least:
            raise ValueError(
                f"the shortest answer takes {least} tokens, and only {self.left} are allowed; "
                "raise max_new_tokens or ask for fewer phrases"
            )


def literal(ids: Sequence[int]) -> Steps[None]:
    """These tokens and no others."""
    for token in ids:
        yield Choice(tokens=(token,))


def one_of(spellings: Sequence[Sequence[int]]) -> Steps[int]:
    """One of several spellings, none of which begins another; returns its number."""
    still = list(range(len(spellings)))
    for place in range(max(map(len, spellings))):
        tokens = dict.fromkeys(spellings[i][place] for i in still)
        token = yield Choice(tokens=tuple(tokens))
        still = [i for i in still if spellings[i][place] == token]
        if len(still) == 1 and len(spellings[still[0]]) == place + 1:
            break
    return still[0]
