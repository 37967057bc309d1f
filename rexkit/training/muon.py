"""Muon: momentum whose update is turned into the nearest orthogonal matrix.

`torch.optim.Muon` computes in bfloat16, which processors without such arithmetic emulate at a
twentieth of the speed: it then takes more time than the forward and backward passes of a small
model together. This one computes in float32 on processors, and takes matrices of one shape
together. The steps are otherwise the same (`tests/test_muon.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

# Of Keller Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
_TINY = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, without weight decay.

    Args:
        params: matrices.
        lr: learning rate; a matrix higher than wide takes ``sqrt(rows / columns)`` times as much.
        momentum: share of the old gradient that is kept.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.02, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step, for all matrices of one shape at once."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                updates = orthogonalized(
                    torch.stack([self._momentum(m, group["momentum"]) for m in matrices])
                )
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.add_(update, alpha=-rate)
        return loss

    def _momentum(self, matrix: torch.Tensor, momentum: float) -> torch.Tensor:
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        kept: torch.Tensor = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(kept, momentum)


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """Return matrices with their singular values moved near 1, by five Newton-Schulz rounds.

    Args:
        matrices: (N, rows, columns).

    >>> turned = orthogonalized(torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(0)))
    >>> bool((torch.linalg.svdvals(turned) - 1).abs().max() < 0.5)
    True
    """
    precision = torch.float32 if matrices.device.type == "cpu" else torch.bfloat16
    a, b, c = _COEFFICIENTS
    x = matrices.to(precision)
    high = x.shape[1] > x.shape[2]
    x = x.mT if high else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_TINY)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if high else x).to(matrices.dtype)
