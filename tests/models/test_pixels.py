"""Patches: what the stock image processor gives, to 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from rexkit.errors import DataError
from rexkit.models import TinyVLM
from rexkit.models.pixels import grid_size, stable_grid_size, to_patches

PROCESSORS = {
    "qwen2_5_vl": Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 50176}),
    "qwen3_vl": Qwen2VLImageProcessorPil(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 9216, "longest_edge": 65536},
    ),
    "one frame": Qwen2VLImageProcessorPil(
        temporal_patch_size=1, size={"shortest_edge": 3136, "longest_edge": 50176}
    ),
    "raw bytes": Qwen2VLImageProcessorPil(
        do_rescale=False, do_normalize=False, size={"shortest_edge": 3136, "longest_edge": 50176}
    ),
}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), "u1"))


@pytest.mark.parametrize("name", PROCESSORS)
def test_as_the_stock_processor(name):
    processor = PROCESSORS[name]
    images = [noise(300, 200), noise(1, 1), noise(57, 250), noise(28, 5000), noise(224, 224)]
    stock = processor(images=images)
    values, grids = to_patches(images, processor)
    assert grids.tolist() == np.asarray(stock["image_grid_thw"]).tolist()
    assert values.shape == stock["pixel_values"].shape
    np.testing.assert_allclose(values, stock["pixel_values"], rtol=0, atol=1e-6)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
@settings(max_examples=200, deadline=None)
def test_an_image_resized_beforehand_is_not_resized_again(width, height):
    for processor in PROCESSORS.values():
        if max(width, height) > 200 * min(width, height):
            with pytest.raises(DataError, match=f"{width} x {height}"):
                grid_size((width, height), processor)
            continue
        fitted = stable_grid_size((width, height), processor)
        if fitted is not None:
            assert fitted == grid_size((width, height), processor)
            assert grid_size(fitted, processor) == fitted
        elif min(width, height) > 100:
            raise AssertionError("only long strips may be unfit")


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_the_encoder_gives_what_the_processor_gives(family):
    vlm = TinyVLM(None, family, hidden_size=64, layers=1, heads=1)
    images = [noise(90, 120), noise(200, 150)]
    prompts = ["Detect cup.", "Detect red circle, blue square."]
    chats = [vlm.encoder.chat(p) for p in prompts]
    stock = vlm.processor(images=images, text=chats)
    ours = vlm.encoder.questions(images, prompts)
    np.testing.assert_allclose(ours["pixel_values"], stock["pixel_values"], rtol=0, atol=1e-6)
    assert ours["image_grid_thw"].tolist() == np.asarray(stock["image_grid_thw"]).tolist()
    for row, ids in enumerate(stock["input_ids"]):
        kept = ours["attention_mask"][row].bool()
        assert ours["input_ids"][row][kept].tolist() == list(ids)
        assert ours["mm_token_type_ids"][row][kept].tolist() == stock["mm_token_type_ids"][row]
