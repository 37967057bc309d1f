"""The decision whether a phrase is in the image, by marginal probability."""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers import LogitsProcessor

from rexkit.grammar.tokens import BOX_START, NONE
from rexkit.models.coordinate_tokens import coordinate_ids

Presence = Literal["token", "marginal"]


class MarginalPresence(LogitsProcessor):
    """Compares, right after ``<|box_start|>``, ``None`` with all coordinates together.

    The probability that a phrase is present is the sum over 1,000 bins. Each bin has a small share
    of that sum, in particular after training with soft targets, so the most probable single token
    is ``None`` far too often. This processor masks either all coordinates or ``None``, whichever
    is less probable in total; the decoding method then chooses the token.

    Args:
        tokenizer: one with the coordinate tokens.
    """

    def __init__(self, tokenizer: Any):
        self.box_start = tokenizer.convert_tokens_to_ids(BOX_START)
        self.none = tokenizer(NONE, add_special_tokens=False).input_ids[0]
        self.coordinates = torch.tensor(coordinate_ids(tokenizer))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores, masked in the rows whose last token is ``<|box_start|>``."""
        rows = (input_ids[:, -1] == self.box_start).nonzero()[:, 0]
        if not len(rows):
            return scores
        scores = scores.clone()
        scores[rows] = self.decide(scores[rows])
        return scores

    def decide(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits right after ``<|box_start|>`` with the less probable side masked.

        Args:
            logits: (rows, vocabulary), changed in place.
        """
        coordinates = self.coordinates.to(logits.device)
        present = logits[:, coordinates].logsumexp(1) > logits[:, self.none]
        logits[present, self.none] = -torch.inf
        logits[(~present).nonzero(), coordinates] = -torch.inf
        return logits
