"""Log-probabilities and entropies of packed branches, computed the plain way for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rexkit.packing import model_inputs


def branch_log_probs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N,) log-probabilities and (N,) entropies in the order of ``batch["labels"]``."""
    inner, head = model.base_model, model.get_output_embeddings()
    hidden = inner(**model_inputs(batch, inner)).last_hidden_state[batch["row"], batch["column"]]
    every = head(hidden).float().log_softmax(-1)
    found = every.gather(1, batch["labels"][:, None])[:, 0]
    return found, -(every.exp() * every).sum(-1)
