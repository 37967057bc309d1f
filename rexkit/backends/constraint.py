"""Constrained decoding for transformers, with a grammar state for each row of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from rexkit.grammar.constraint_state import ConstraintState
from rexkit.grammar.forms import AnswerForm
from rexkit.grammar.vocabulary import NO_TEXT, Choice, Vocabulary


class ChoiceMask:
    """Masks, in a batch of logits, every token that is not in the choice of its row.

    A step moves a few numbers per row to the device; its cost there does not depend on the size of
    the choices.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self._coordinates = torch.from_numpy(vocabulary.coordinates)
        self._bins = torch.arange(len(vocabulary.coordinates))
        self._blocked: torch.Tensor | None = None

    def __call__(self, logits: torch.Tensor, choices: Sequence[Choice | None]) -> torch.Tensor:
        """Return the logits, with -inf for tokens that are not allowed.

        Args:
            logits: (rows, vocabulary), changed in place.
            choices: one a row; None leaves a row as it is.
        """
        if all(choice is None for choice in choices):
            return logits
        device = logits.device
        if self._bins.device != device:
            self._coordinates, self._bins = self._coordinates.to(device), self._bins.to(device)
        rows = None
        if any(choice is None for choice in choices):
            rows = torch.tensor([i for i, c in enumerate(choices) if c is not None], device=device)
        bound = [choice for choice in choices if choice is not None]
        # Padding with a token of the same row writes the same number twice.
        width = max(len(choice.tokens) for choice in bound)
        plain = self.vocabulary.end
        table = torch.tensor(
            [
                [c.low, c.high, *c.tokens, *(c.tokens[:1] or (plain,)) * (width - len(c.tokens))]
                for c in bound
            ]
        ).to(device)
        inside = logits if rows is None else logits[rows]
        low, high, tokens = table[:, :1], table[:, 1:2], table[:, 2:]
        bins = inside[:, self._coordinates]
        bins.masked_fill_((self._bins < low) | (self._bins >= high), -torch.inf)
        kept = inside.gather(1, tokens)
        kept.masked_fill_(torch.tensor([[not c.tokens] for c in bound]).to(device), -torch.inf)
        if any(choice.text != NO_TEXT for choice in bound):
            kinds = torch.tensor([choice.text for choice in bound]).to(device)
            inside.masked_fill_(self._text_mask(inside)[kinds], -torch.inf)
        else:
            inside.fill_(-torch.inf)
        inside[:, self._coordinates] = bins
        inside.scatter_(1, tokens, kept)
        if rows is not None:
            logits[rows] = inside
        return logits

    def _text_mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (text classes, vocabulary): the tokens that each class of text excludes."""
        blocked = self._blocked
        if blocked is None or blocked.device != logits.device:
            allowed = torch.from_numpy(self.vocabulary.text)
            blocked = torch.ones(len(allowed), logits.shape[1], dtype=torch.bool)
            blocked[:, : allowed.shape[1]] = ~allowed
            self._blocked = blocked = blocked.to(logits.device)
        return blocked


class GrammarConstraint(LogitsProcessor):
    """Keeps the completions of one batch within their answer formats.

    Create a new one for every batch; it reads no more of the completions than their last token.

    Args:
        mask: of the model's vocabulary; shared by all batches.
        forms: the answer format of each row; None leaves a row unconstrained.
        max_new_tokens: the longest completion. Every completion ends before that.

    Raises:
        ValueError: no completion of an answer format is that short.
    """

    def __init__(self, mask: ChoiceMask, forms: Sequence[AnswerForm | None], max_new_tokens: int):
        self.mask = mask
        self.states = [
            None if form is None else ConstraintState(form, mask.vocabulary, max_new_tokens)
            for form in forms
        ]
        self._started = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores with every disallowed token masked."""
        if len(scores) != len(self.states):
            raise ValueError(
                f"{len(scores)} rows for {len(self.states)} answer formats; beam search and "
                "several sequences per request are not supported, make a request of each"
            )
        if self._started:
            for state, token in zip(self.states, input_ids[:, -1].tolist(), strict=True):
                if state is not None:
                    state.advance(token)
        self._started = True
        return self.mask(scores, [None if state is None else state.choice for state in self.states])
