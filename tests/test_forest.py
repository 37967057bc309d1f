"""Forests: equal to the plain padded batch, in what they compute and in what they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import scaled_dot_product_attention
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from rexkit.forest import (
    Tree,
    block_mask,
    branch_log_probs,
    dense_mask,
    grow,
    pack,
    plant,
    positions,
    predicting_only,
    unfold,
)
from rexkit.models import TinyVLM

FAMILIES = ("qwen3_vl", "qwen2_5_vl")
SMALL = dict(hidden_size=64, layers=2, heads=2, vision_hidden_size=64)


@pytest.fixture(scope="module", params=[*FAMILIES, "deepstack"])
def vlm(request) -> TinyVLM:
    if request.param != "deepstack":
        return TinyVLM(weights=None, family=request.param, **SMALL)
    tiny = TinyVLM(weights=None, vision_layers=2, **SMALL)
    config = Qwen3VLConfig(**tiny.model.config.to_dict())
    config.vision_config.deepstack_visual_indexes = [0, 1]
    torch.manual_seed(0)
    tiny.model = Qwen3VLForConditionalGeneration(config).eval()
    return tiny


def tree(vlm: TinyVLM, rng: np.random.Generator, pictures: int, branches: list[int], text: int = 5):
    """A trunk with pictures of random sizes and random text, and random branches."""
    words = len(vlm.tokenizer) - 1000
    shapes = [tuple(rng.integers(40, 130, 2)) for _ in range(pictures)]
    images = [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
    chat = "<|im_start|>user\n" + "<|vision_start|><|image_pad|><|vision_end|> cup" * pictures
    encoded = vlm.processor(images=images, text=[chat], return_tensors="pt") if pictures else {}
    start = encoded["input_ids"][0] if pictures else torch.zeros(0, dtype=torch.long)
    kinds = encoded["mm_token_type_ids"][0] if pictures else torch.zeros(0, dtype=torch.long)

    def some(number: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, words, number)) % 250

    return Tree(
        torch.cat([start, some(text)]),
        torch.cat([kinds, torch.zeros(text, dtype=torch.long)]),
        [some(n) for n in branches],
        pixel_values=encoded.get("pixel_values"),
        image_grid_thw=encoded.get("image_grid_thw"),
    )


def padded(vlm: TinyVLM, trees: list[Tree]) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: a row for each branch, each with its prompt and pictures; (branches, T)."""
    pairs = [(t, b) for t in trees for b in t.branches]
    length = max(len(t.trunk) + len(b) for t, b in pairs)
    ids, kinds, mask = (torch.zeros(len(pairs), length, dtype=torch.long) for _ in range(3))
    for i, (t, b) in enumerate(pairs):
        ids[i, : len(t.trunk) + len(b)] = torch.cat([t.trunk, b])
        kinds[i, : len(t.trunk)] = t.kinds
        mask[i, : len(t.trunk) + len(b)] = 1
    seen = [t for t, _ in pairs if t.pixel_values is not None]
    pictures = {
        key: torch.cat([getattr(t, key) for t in seen])
        for key in ("pixel_values", "image_grid_thw")
        if seen
    }
    logits = vlm.model(
        input_ids=ids, attention_mask=mask, mm_token_type_ids=kinds, **pictures
    ).logits
    every = logits.log_softmax(-1)
    longest = max(len(b) for _, b in pairs)
    found, entropy = torch.zeros(2, len(pairs), longest)
    rows = [
        every[i, len(t.trunk) - 1 : len(t.trunk) + len(b) - 1] for i, (t, b) in enumerate(pairs)
    ]
    found = torch.stack(
        [
            torch.nn.functional.pad(r.gather(1, b[:, None])[:, 0], (0, longest - len(b)))
            for r, (_, b) in zip(rows, pairs, strict=True)
        ]
    )
    entropy = torch.stack(
        [
            torch.nn.functional.pad(-(r.exp() * r).sum(-1), (0, longest - len(b)))
            for r, (_, b) in zip(rows, pairs, strict=True)
        ]
    )
    return found, entropy


def gradients(vlm: TinyVLM, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    vlm.model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in vlm.model.named_parameters() if p.grad is not None}


def check_equal(vlm: TinyVLM, trees: list[Tree], rows: list[list[int]]) -> None:
    batch = plant(trees, rows)
    expected, expected_entropy = padded(vlm, trees)
    found, entropy = (
        unfold(v, batch, expected.shape[1]) for v in branch_log_probs(vlm.model, batch)
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-5, rtol=0)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = (weights * found).sum(), (weights * expected).sum()
    assert float(ours - theirs) == pytest.approx(0, abs=1e-4)
    ours, theirs = gradients(vlm, ours), gradients(vlm, theirs)
    assert ours.keys() == theirs.keys()
    scale = max(float(g.norm()) for g in theirs.values())
    for name, gradient in theirs.items():
        off = float((ours[name] - gradient).norm())
        assert off <= 1e-4 * max(float(gradient.norm()), 1e-3 * scale), name


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_random_forests_equal_the_padded_batch(vlm, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    groups = data.draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), min_size=1, max_size=4)),
            min_size=1,
            max_size=4,
        )
    )
    trees = [
        tree(vlm, rng, pictures, branches, text=int(rng.integers(1, 9)))
        for pictures, branches in groups
    ]
    rows = pack([len(t) for t in trees], data.draw(st.sampled_from([1, 60, 500])))
    check_equal(vlm, trees, rows)


def test_two_pictures_a_row_in_every_way(vlm):
    rng = np.random.default_rng(3)
    one, other, both = (tree(vlm, rng, n, [4, 7, 2]) for n in (1, 1, 2))
    check_equal(vlm, [one, other], [[0, 1]])
    check_equal(vlm, [one, other], [[1, 0]])
    check_equal(vlm, [both], [[0]])
    check_equal(vlm, [both, one, other], [[2, 0], [1]])
