"""Muon: the same steps as torch's, computed in float32."""

from __future__ import annotations

import pytest
import torch

from rexkit.training.muon import Muon, orthogonalized


def matrices(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(24, 24), (24, 24), (16, 48), (48, 16)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_it_steps_like_torchs_up_to_the_rounding_of_bfloat16():
    ours = [m.clone().requires_grad_() for m in matrices(0)]
    theirs = [m.clone().requires_grad_() for m in matrices(0)]
    optimizers = [Muon(ours, lr=0.1), torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0)]
    for step in range(4):
        for one, other, gradient in zip(ours, theirs, matrices(step + 1), strict=True):
            one.grad, other.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, start in zip(ours, theirs, matrices(0), strict=True):
        assert (one - other).norm() < 0.03 * (other - start).norm()


@pytest.mark.parametrize("shape", [(3, 16, 64), (3, 64, 16)])
def test_singular_values_move_near_one_and_directions_stay(shape):
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    turned = orthogonalized(given)
    assert ((torch.linalg.svdvals(turned) - 1).abs() < 0.5).all()
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    inside = left.mT @ turned @ right.mT
    assert (inside - torch.diag_embed(torch.diagonal(inside, dim1=1, dim2=2))).abs().max() < 1e-3


def test_a_matrix_without_gradient_is_left_alone():
    still, moving = (torch.ones(4, 4, requires_grad=True) for _ in range(2))
    moving.grad = torch.eye(4)
    Muon([still, moving]).step()
    assert torch.equal(still, torch.ones(4, 4))
    assert not torch.equal(moving, torch.ones(4, 4))
