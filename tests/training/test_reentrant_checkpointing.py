"""Reentrant gradient checkpointing trains the adapters of the vision tower too."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.tasks import GroundingTask
from rexkit.training.sft_trainer import SFTTrainer

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64, vision_layers=2)


def trained(vlm, work_dir, reentrant):
    data = ExampleDataset([Source(ShapesDataset(4), GroundingTask())], training=True)
    SFTTrainer(
        vlm, data, work_dir, per_device_train_batch_size=2, max_steps=2, learning_rate=1e-2,
        save_strategy="no", disable_tqdm=True, gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": reentrant},
    ).fit()  # fmt: skip
    return {name: parameter.detach() for _, name, parameter in vlm.trainable_by_part()}


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_it_trains_what_plain_checkpointing_trains(tmp_path, family):
    TinyVLM(weights=None, family=family, **SMALL).save(tmp_path / "base")
    found = []
    for reentrant in (True, False):
        torch.manual_seed(0)
        vlm = PretrainedVLM(str(tmp_path / "base"), lora={"r": 4, "target_modules": "all-linear"})
        found.append(trained(vlm, tmp_path / str(reentrant), reentrant))
    assert any("visual" in name and "lora_B" in name for name in found[0])
    assert all(weight.any() for name, weight in found[0].items() if "lora_B" in name)
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_a_tower_whose_patches_are_not_found_is_refused(tmp_path):
    vlm = TinyVLM(weights=None, **SMALL)
    vlm.inner.visual.embedding = vlm.inner.visual.patch_embed
    del vlm.inner.visual.patch_embed
    with pytest.raises(ConfigError, match="vision tower would not train"):
        trained(vlm, tmp_path, True)
