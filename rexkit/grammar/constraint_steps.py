"""Building blocks of the constraint: coroutines that yield a choice and are sent a token."""

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
"""A coordinate of a box's first corner: at least one bin is left for the second corner."""


@dataclass(slots=True)
class TokenBudget:
    """The number of tokens that may still come, the one being chosen included."""

    remaining: int

    def require(self, least: int) -> None:
        """Check that the shortest completion fits.

        Args:
            least: the length of the shortest completion, in tokens.

        Raises:
            ValueError: it does not fit.
        """
        if self.remaining < least:
            raise ValueError(
                f"the shortest completion has {least} tokens, and only {self.remaining} are "
                "allowed; raise max_new_tokens or ask for fewer phrases"
            )


def literal(ids: Sequence[int]) -> Steps[None]:
    """Allow exactly these tokens, in this order."""
    for token in ids:
        yield Choice(tokens=(token,))


def one_of(spellings: Sequence[Sequence[int]]) -> Steps[int]:
    """Allow one of several token sequences, none a prefix of another; returns its index."""
    candidates = list(range(len(spellings)))
    for position in range(max(map(len, spellings))):
        tokens = dict.fromkeys(spellings[i][position] for i in candidates)
        token = yield Choice(tokens=tuple(tokens))
        candidates = [i for i in candidates if spellings[i][position] == token]
        if len(candidates) == 1 and len(spellings[candidates[0]]) == position + 1:
            break
    return candidates[0]
