"""The state of constrained decoding: which tokens may come next in one completion.

The grammar is written as coroutines. Each yields the tokens that are allowed next and is sent the
token that was chosen, so the code reads like the text it produces, and a step takes microseconds
whatever the size of the vocabulary. A completion always fits in its budget: before anything
optional, the least number of tokens still required is compared with the number left.
"""

from __future__ import annotations

from rexkit.grammar.constraint_steps import TokenBudget
from rexkit.grammar.forms import AnswerForm, KeypointForm
from rexkit.grammar.keypoint_constraint import KeypointGrammar
from rexkit.grammar.span_constraint import SpanGrammar
from rexkit.grammar.vocabulary import Choice, Vocabulary


class ConstraintState:
    """Follow one completion through the grammar, token by token.

    Args:
        form: the form that the completion must have.
        vocabulary: the vocabulary of the model.
        max_tokens: the most tokens it may have, the end token included.

    Attributes:
        choice: the tokens allowed next; after the end, only the end token.
        done: whether the end token has come.

    Raises:
        ValueError: even the shortest completion of this form is longer than ``max_tokens``.
    """

    def __init__(self, form: AnswerForm, vocabulary: Vocabulary, max_tokens: int):
        self.done = False
        self._vocabulary = vocabulary
        self._budget = TokenBudget(max_tokens)
        if isinstance(form, KeypointForm):
            self._steps = KeypointGrammar(form, vocabulary, self._budget).steps()
        else:
            self._steps = SpanGrammar(form, vocabulary, self._budget).steps()
        self.choice = next(self._steps)

    def advance(self, token: int) -> None:
        """Take the next token of the completion; tokens after the end are ignored.

        Args:
            token: the id of the token that was chosen.

        Raises:
            ValueError: the token is not allowed here.
        """
        if self.done:
            return
        if not self._vocabulary.allows(self.choice, token):
            raise ValueError(f"token {token} is not allowed here; allowed are {self.choice}")
        self._budget.remaining -= 1
        try:
            self.choice = self._steps.send(token)
        except StopIteration:
            self.done = True
            self.choice = Choice(tokens=(self._vocabulary.end,))
