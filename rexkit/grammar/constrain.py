"""The answer grammar over token ids: what may come next, so that an answer cannot go wrong.

The grammar is written as coroutines. Each yields the choice of tokens that may come next and is
sent the one that came, so the code reads as the sentence it spells, and a step costs microseconds
whatever the size of the vocabulary. An answer always ends in time: before anything optional, the
least number of tokens that would still be needed is compared with those left.
"""

from __future__ import annotations

from rexkit.grammar.constrain_json import KeypointGrammar
from rexkit.grammar.constrain_spans import SpanGrammar
from rexkit.grammar.forms import AnswerForm, KeypointForm
from rexkit.grammar.steps import Room
from rexkit.grammar.vocabulary import Choice, Vocabulary


class Walk:
    """One answer on its way through the grammar.

    Args:
        form: what the answer must be.
        vocabulary: of the model.
        max_tokens: how long it may become, its end included.

    Attributes:
        choice: what may come next; after the end, only the end.
        done: whether the end has come.

    Raises:
        ValueError: not even the shortest answer has room.
    """

    def __init__(self, form: AnswerForm, vocabulary: Vocabulary, max_tokens: int):
        self.done = False
        self._vocabulary = vocabulary
        self._room = Room(max_tokens)
        if isinstance(form, KeypointForm):
            self._steps = KeypointGrammar(form, vocabulary, self._room).answer()
        else:
            self._steps = SpanGrammar(form, vocabulary, self._room).answer()
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
        self._room.left -= 1
        try:
            self.choice = self._steps.send(token)
        except StopIteration:
            self.done = True
            self.choice = Choice(tokens=(self._vocabulary.end,))
