"""The loss of responses: plain cross-entropy, or soft targets over bins."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from rexkit.training.loss import ResponseLoss

IDS = list(range(50, 1050))


def logits(rows: int, vocabulary: int = 1200) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0))


def test_without_spread_it_is_cross_entropy():
    labels = torch.tensor([3, 60, 1049, 1100])
    got = ResponseLoss(IDS, 0)(logits(4), labels)
    torch.testing.assert_close(got, cross_entropy(logits(4), labels, reduction="none"))


def test_other_tokens_are_never_spread():
    labels = torch.tensor([3, 49, 1050, 1199])
    got = ResponseLoss(IDS, 8)(logits(4), labels)
    torch.testing.assert_close(got, cross_entropy(logits(4), labels, reduction="none"))


@pytest.mark.parametrize("label", [0, 1, 500, 999])
def test_a_coordinate_is_compared_with_a_bell_over_bins(label):
    sigma = 5.0
    got = ResponseLoss(IDS, sigma)(logits(1), torch.tensor([50 + label]))
    bell = torch.tensor(
        [2.718281828 ** (-((j - label) ** 2) / (2 * sigma**2)) for j in range(1000)]
    )
    target = torch.zeros(1, 1200)
    target[0, 50:1050] = bell / bell.sum()
    torch.testing.assert_close(got, cross_entropy(logits(1), target, reduction="none"))


def test_scattered_ids_are_found():
    ids = [2 * i + 7 for i in range(1000)]
    soft = ResponseLoss(ids, 3)
    labels = torch.tensor([ids[4], ids[4] + 1])
    plain = cross_entropy(logits(2, 3000), labels, reduction="none")
    got = soft(logits(2, 3000), labels)
    assert got[1] == pytest.approx(plain[1].item())
    assert got[0] != pytest.approx(plain[0].item())


def test_the_gradient_pulls_towards_neighbours():
    guess = torch.zeros(1, 1200, requires_grad=True)
    ResponseLoss(IDS, 4)(guess, torch.tensor([550])).sum().backward()
    assert guess.grad[0, 548] < 0
    assert guess.grad[0, 600] > 0


def test_the_offset_makes_up_for_the_spread():
    """Where a phrase is as likely there as not, the best bin and None come out level."""
    sigma, none = 6.0, 3
    loss = ResponseLoss(IDS, sigma, coord_offset=True)
    guess = torch.zeros(1, 1200, requires_grad=True)
    optimizer = torch.optim.LBFGS([guess], max_iter=200, line_search_fn="strong_wolfe")
    labels = torch.tensor([550, none])

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        total = loss(guess.expand(2, -1), labels).sum()
        total.backward()
        return total

    optimizer.step(step)
    best = guess[0, 50:1050].max().item()
    # The bell's peak lies half a nat above its entropy.
    assert best - guess[0, none].item() == pytest.approx(0.5, abs=0.1)


def test_presence_weighs_the_token_after_box_start_only():
    labels, previous = torch.tensor([60, 60, 3]), torch.tensor([9, 8, 9])
    plain = ResponseLoss(IDS, 4)(logits(3), labels)
    weighed = ResponseLoss(IDS, 4, box_start_id=9, presence_weight=3)(logits(3), labels, previous)
    torch.testing.assert_close(weighed / plain, torch.tensor([3.0, 1.0, 3.0]))


def test_a_spread_below_zero_is_an_error():
    with pytest.raises(ValueError, match="-1"):
        ResponseLoss(IDS, -1)
