"""The loss of a response: cross-entropy, with soft targets over neighbouring bins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import log_softmax

from rexkit.grammar.bins import NUM_BINS

_BELL_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
"""Entropy of a normal distribution of spread 1, in nats."""


class ResponseLoss(nn.Module):
    """Cross-entropy over the tokens of responses.

    A coordinate's target may be spread over neighbouring bins: bin ``j`` gets a weight proportional
    to ``exp(-(j - label)² / (2 · coord_sigma²))``, so that being off by one bin costs little and
    gives a gradient towards the label. The target of any other token is that token alone.

    Args:
        coordinate_ids: the token ids of the 1,000 bins, in order.
        coord_sigma: spread in bins; 0 is plain cross-entropy.
        box_start_id: the token id of ``<|box_start|>``.
        coord_offset: raise the logits of all other tokens, in the loss only, by the entropy of the
            distribution, ``log(coord_sigma) + log(2πe) / 2``. Spread targets divide the
            probability among bins, so that without the offset the most probable single token is
            too often ``None``; with it, greedy decoding is correct.
        presence_weight: weight of the token right after ``<|box_start|>``, which determines
            whether a phrase is in the image: one token of a response that is mostly coordinates.
    """

    ids: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self,
        coordinate_ids: Sequence[int],
        coord_sigma: float = 0.0,
        box_start_id: int = -1,
        presence_weight: float = 1.0,
        coord_offset: bool = False,
    ):
        super().__init__()
        self.box_start_id, self.presence_weight = box_start_id, presence_weight
        self.coord_offset = coord_offset
        self.register_buffer("ids", torch.tensor(coordinate_ids), persistent=False)
        self.coord_sigma = coord_sigma

    @property
    def coord_sigma(self) -> float:
        """The spread in bins; may be changed while training."""
        return self._sigma

    @coord_sigma.setter
    def coord_sigma(self, sigma: float) -> None:
        if sigma < 0:
            raise ValueError(f"coord_sigma must not be negative, got {sigma}")
        self._sigma = sigma
        bins = torch.arange(NUM_BINS, device=self.ids.device)
        spread = torch.exp(-((bins[:, None] - bins) ** 2) / (2 * max(sigma, 1e-3) ** 2))
        # Tails too small for float32's normal range would only slow every multiplication down.
        spread = spread.where(spread > 1e-12, 0.0)
        self.register_buffer("weights", spread / spread.sum(1, keepdim=True), persistent=False)

    def forward(
        self, logits: torch.Tensor, labels: torch.Tensor, previous: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss of each token.

        Args:
            logits: (N, vocabulary).
            labels: (N,) token ids.
            previous: (N,) token ids before the labels; needed where ``presence_weight`` is not 1.

        Returns:
            (N,) losses, weighted.
        """
        logits = logits.float()
        if self.coord_offset and self._sigma > 0:
            offset = logits.new_full((logits.shape[1],), math.log(self._sigma) + _BELL_ENTROPY)
            logits = logits + offset.index_fill(0, self.ids, 0.0)
        logp = log_softmax(logits, dim=-1)
        loss = -logp.gather(1, labels[:, None])[:, 0]
        if self._sigma > 0:
            bins = self._bin_of(labels)
            rows = (bins >= 0).nonzero()[:, 0]
            soft = -(self.weights[bins[rows]] * logp[rows][:, self.ids]).sum(1)
            loss = loss.index_put((rows,), soft)
        if previous is not None and self.presence_weight != 1:
            loss = torch.where(previous == self.box_start_id, self.presence_weight * loss, loss)
        return loss

    def _bin_of(self, labels: torch.Tensor) -> torch.Tensor:
        order = torch.searchsorted(self.ids, labels).clamp(max=NUM_BINS - 1)
        return torch.where(self.ids[order] == labels, order, -1)
