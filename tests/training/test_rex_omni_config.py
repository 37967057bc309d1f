"""The config for real checkpoints, run at small random weights of the same family."""

from __future__ import annotations

import json

from paths import CONFIGS
from transformers import AutoModelForImageTextToText

from rexkit.cli import main
from rexkit.config import load_config

CONFIG = CONFIGS / "sft" / "rex_omni_3b_grounding.py"


def test_it_trains_and_tests_a_checkpoint_of_the_family(checkpoint, data_root, tmp_path):
    work = tmp_path / "work"
    # What needs GPUs or DeepSpeed is switched off; everything else is as the config says.
    options = [
        f"model.path={checkpoint}",
        f"data_root={data_root}",
        "trainer.deepspeed=None",
        "trainer.dataloader_num_workers=0",
        "trainer.max_steps=2",
        "trainer.logging_steps=1",
        "backend.max_new_tokens=8",
    ]
    assert main(["train", str(CONFIG), "--work-dir", str(work), "--cfg-options", *options]) == 0
    trained = AutoModelForImageTextToText.from_pretrained(work / "final")
    assert trained.config.model_type == "qwen2_5_vl"
    assert str(trained.dtype) == "torch.bfloat16"
    assert "before/f1@0.5" in json.loads((work / "metrics.json").read_text())


def test_the_base_model_is_one_override_away():
    config = load_config(CONFIG, {"model.path": "Qwen/Qwen2.5-VL-3B-Instruct"})
    assert config.model.path == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert (config.trainer.bf16, config.trainer.gradient_checkpointing) == (True, True)


def test_the_deepspeed_file_is_zero_2():
    config = load_config(CONFIG)
    plan = json.loads((CONFIGS.parent / config.trainer.deepspeed).read_text())
    assert plan["zero_optimization"]["stage"] == 2
    assert plan["train_micro_batch_size_per_gpu"] == "auto"
