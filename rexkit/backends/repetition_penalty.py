"""The repetition penalty, for sampling and for the log-probabilities of what was sampled.

Logits of tokens that occurred before, in the prompt or the completion, are divided by the penalty
where they are positive and multiplied by it where they are negative (Keskar et al. 2019, "CTRL",
with the sign as transformers and vLLM have it).
"""

from __future__ import annotations

import torch
from transformers import LogitsProcessor


def penalize(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return logits with a repetition penalty.

    Args:
        logits: (rows, vocabulary).
        seen: (rows, vocabulary) bool, the tokens that occurred before.
        penalty: above 0; 1 changes nothing.

    >>> seen = torch.tensor([[True, True, False]])
    >>> penalize(torch.tensor([[2.0, -1.0, 1.0]]), seen, 2.0)
    tensor([[ 1., -2.,  1.]])
    """
    factors = torch.where(logits > 0, 1 / penalty, penalty).to(logits.dtype)
    return torch.where(seen, logits * factors, logits)


def tokens_in(ids: torch.Tensor, mask: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Return which tokens occur in each row.

    Args:
        ids: (rows, length) token ids.
        mask: (rows, length), nonzero where a token counts.
        vocabulary: number of token ids.

    Returns:
        (rows, vocabulary) bool.

    >>> tokens_in(torch.tensor([[3, 1, 0]]), torch.tensor([[1, 1, 0]]), 4).tolist()
    [[False, True, False, True]]
    """
    found = torch.zeros(len(ids), vocabulary, dtype=torch.uint8, device=ids.device)
    return found.scatter_reduce_(1, ids, mask.to(torch.uint8), "amax").bool()


class RepetitionPenalty(LogitsProcessor):
    """Applies a repetition penalty in a batch that is padded on the left.

    transformers' own processor counts padding as tokens of the prompt, so that a completion depends
    on the batch it is in; vLLM has no padding.

    Args:
        penalty: as in `penalize`.
        attention_mask: (rows, length) of the prompts.
    """

    def __init__(self, penalty: float, attention_mask: torch.Tensor):
        self.penalty = penalty
        self.attention_mask = attention_mask
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the penalised scores."""
        if self._seen is None:
            self._seen = tokens_in(input_ids, self.attention_mask, scores.shape[1])
        else:
            self._seen.scatter_(1, input_ids[:, -1:], True)
        return penalize(scores, self._seen, self.penalty)
