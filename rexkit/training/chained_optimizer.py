"""Several optimizers chained as one, such as Muon for matrices and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch


class ChainedOptimizer(torch.optim.Optimizer):
    """Several optimizers as one: they step together, and schedulers see the groups of all.

    Args:
        optimizers: over parameters of their own.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers
        # The very same group dictionaries, so that a scheduler's new rate reaches their owner.
        super().__init__([group for o in optimizers for group in o.param_groups], {})

    def step(self, closure: Any = None) -> Any:
        """Let every optimizer take its step."""
        loss = closure() if closure is not None else None
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all optimizers, in order."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.param_groups = [g for optimizer in self.optimizers for g in optimizer.param_groups]


def is_inner_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Return whether Muon is meant for a parameter: a matrix that is no table of vectors.

    The projector is left out too: its matrix over a whole cell is so much wider than the layers of
    a small network that Muon would spend more on it than on all others.

    >>> is_inner_matrix("model.language_model.layers.0.mlp.up_proj.weight", torch.zeros(4, 4))
    True
    >>> is_inner_matrix("model.language_model.embed_tokens.weight", torch.zeros(4, 4))
    False
    """
    left_out = any(part in name for part in ("embed", "lm_head", "merger"))
    return parameter.ndim == 2 and not left_out
