"""Padded batches of prompts and completions find their shared prompts, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from reference_log_probs import branch_log_probs

from rexkit.models import TinyVLM
from rexkit.packing import unfold
from rexkit.training.grpo.prefix_groups import share_prompts

SMALL = dict(hidden_size=64, layers=2, heads=2, vision_hidden_size=64)


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen2_5_vl"])
def vlm(request) -> TinyVLM:
    return TinyVLM(weights=None, family=request.param, **SMALL)


def image(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def questions(vlm: TinyVLM, images: list[int], prompts: list[str]) -> dict[str, torch.Tensor]:
    return vlm.encoder.questions([image(seed) for seed in images], prompts)


@pytest.mark.parametrize("max_row_tokens", [None, 10, 2000])
def test_shuffled_groups_equal_the_padded_batch(vlm, max_row_tokens):
    asked = [(0, "Detect cup."), (1, "Detect cup."), (0, "Point to the red ring, please.")]
    order = [0, 1, 0, 2, 1, 1, 2, 0]
    inputs = questions(vlm, [asked[i][0] for i in order], [asked[i][1] for i in order])
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(0, 200, (8, 7)))
    # One completion is masked whole, as trainers do with truncated ones.
    mask = (torch.arange(7) < torch.tensor([7, 3, 5, 0, 1, 6, 2, 4])[:, None]).long()

    batch, branch = share_prompts(inputs, ids, mask, [1] * 8, max_row_tokens)
    assert len(batch["image_grid_thw"]) == 3
    found, entropy = (unfold(v, batch, 7)[branch] for v in branch_log_probs(vlm.model, batch))

    whole = torch.cat([inputs["input_ids"], ids], 1)
    kinds = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(ids)], 1)
    logits = vlm.model(
        input_ids=whole,
        attention_mask=torch.cat([inputs["attention_mask"], mask], 1),
        mm_token_type_ids=kinds,
        pixel_values=inputs["pixel_values"],
        image_grid_thw=inputs["image_grid_thw"],
    ).logits[:, -8:-1]
    every = logits.log_softmax(-1)
    expected = every.gather(2, ids[..., None])[..., 0] * mask
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    expected_entropy = -(every.exp() * every).sum(-1) * mask
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-5, rtol=0)


def test_the_same_words_about_other_images_are_other_trees(vlm):
    ids = torch.ones(4, 2, dtype=torch.long)
    for images, trees in (([0, 0, 0, 0], 1), ([0, 1, 0, 1], 2)):
        inputs = questions(vlm, images, ["Detect cup."] * 4)
        batch, _ = share_prompts(inputs, ids, torch.ones_like(ids), [1] * 4, 1)
        assert len(batch["input_ids"]) == trees


def test_prompts_without_images_share_too(vlm):
    prompt = torch.tensor([[5, 6, 7], [0, 8, 9], [5, 6, 7]])
    inputs = {
        "input_ids": prompt,
        "attention_mask": (prompt > 0).long(),
        "mm_token_type_ids": torch.zeros_like(prompt),
    }
    ids = torch.tensor([[1, 2], [3, 4], [5, 6]])
    batch, branch = share_prompts(inputs, ids, torch.ones_like(ids), [0, 0, 0])
    assert int((batch["tree"] >= 0).sum()) == 3 + 4 + 2 + 2
    assert torch.equal(unfold(batch["labels"], batch, 2)[branch], ids)
    assert torch.isfinite(branch_log_probs(vlm.model, batch)[0]).all()
