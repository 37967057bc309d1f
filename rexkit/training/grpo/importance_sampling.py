"""Truncated importance-sampling weights for tokens that another engine sampled."""

from __future__ import annotations

from typing import Literal

import torch

Mode = Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


def importance_weights(
    log_probs: torch.Tensor,
    sampled_log_probs: torch.Tensor,
    mask: torch.Tensor,
    mode: Mode,
    lowest: float | None,
    highest: float | None,
) -> torch.Tensor:
    """Return importance-sampling weights of tokens that another engine sampled.

    The ratio of both probabilities, of a token or of the whole completion, is clipped to a range
    ("truncate") or set to 0 outside of it ("mask"): truncated importance sampling, Yao et al.,
    "Your efficient RL framework secretly brings you off-policy RL training" (2025). The modes are
    those of ``vllm_importance_sampling_mode`` of `trl.GRPOConfig`.

    Args:
        log_probs: (B, T) of the trainer.
        sampled_log_probs: (B, T) of the engine that sampled; NaN where it is not known.
        mask: (B, T), 1 for tokens of the completion.
        mode: as above.
        lowest: Least ratio; None for no bound.
        highest: Largest ratio; None for no bound.

    Returns:
        (B, T), without gradient.

    >>> both = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.0, -4.0]])
    >>> importance_weights(*both, torch.ones(1, 2), "token_truncate", None, 3.0)
    tensor([[1., 3.]])
    >>> importance_weights(*both, torch.ones(1, 2), "sequence_mask", None, 3.0)
    tensor([[0., 0.]])
    """
    difference = torch.nan_to_num((log_probs - sampled_log_probs) * mask, nan=0.0).detach()
    if mode.startswith("sequence"):
        difference = difference.sum(-1, keepdim=True).expand_as(difference)
    ratio = difference.exp()
    if mode.endswith("truncate"):
        return ratio if lowest is highest is None else ratio.clamp(lowest, highest)
    outside = torch.zeros_like(ratio, dtype=torch.bool)
    if lowest is not None:
        outside |= ratio < lowest
    if highest is not None:
        outside |= ratio > highest
    return ratio.masked_fill(outside, 0.0)
