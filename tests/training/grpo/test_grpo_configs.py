"""The GRPO configs: every one loads, and those that need data or GPUs run at small size."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import CONFIGS

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from transformers import AutoModelForImageTextToText

from rexkit.cli import main
from rexkit.config import load_config
from rexkit.registry import BACKENDS

SHORT = [
    *("trainer.max_steps=2", "trainer.num_generations=2", "trainer.max_completion_length=8"),
    *("trainer.per_device_train_batch_size=4", "backend.max_new_tokens=8", "num_images=1"),
]


def train(config: str, work: Path, *options: str) -> list[dict]:
    words = ["train", str(CONFIGS / "grpo" / config), "--work-dir", str(work)]
    assert main([*words, "--cfg-options", *SHORT, *options]) == 0
    return [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["grounding", "pointing", "pointing_mask"])
def test_the_configs_load(name):
    config = load_config(CONFIGS / "grpo" / f"{name}.py")
    assert config.trainer.type == "GRPOTrainer"
    assert config.model.type == "TinyVLM"


def test_pointing_into_masks(tmp_path, shared_data):
    pytest.importorskip("pycocotools")
    log = train(
        *("pointing_mask.py", tmp_path, f"data_root={shared_data / 'pointing'}"),
        *("train_data.weight=1.0", "test_before=False", "model.max_pixels=16384"),
        "model.min_pixels=4096",
    )
    assert {"rewards/point_in_mask/mean", "rewards/count/mean"} <= log[0].keys()
    file = tmp_path / "completions" / "step_00000" / "completions.jsonl"
    targets = json.loads(file.read_text().splitlines()[0])["gt"]
    assert all("counts" in target["mask"] for phrase in targets.values() for target in phrase)
    assert "f1" in json.loads((tmp_path / "metrics.json").read_text())


def test_rex_omni_at_small_weights(checkpoint, data_root, tmp_path):
    work = tmp_path / "work"
    # What needs GPUs, DeepSpeed or vLLM is switched off; everything else is as the config says.
    log = train(
        *("rex_omni_3b.py", work, f"model.path={checkpoint}", f"data_root={data_root}"),
        *("trainer.deepspeed=None", "trainer.dataloader_num_workers=0"),
        "trainer.gradient_accumulation_steps=2",
        "trainer.rollout={'type': 'TransformersBackend'}",
    )
    assert log[0]["time/log_probs"] > 0  # of the reference, which the config asks for
    assert log[0]["rewards/box_iou/mean"] >= 0
    trained = AutoModelForImageTextToText.from_pretrained(work / "final")
    assert str(trained.dtype) == "torch.bfloat16"
    assert (work / "curves.png").is_file()


def test_rex_omni_as_it_stands():
    if "VLLMBackend" not in BACKENDS or find_spec("vllm") is None:
        pytest.skip("there is no vLLM: pip install -e .[vllm]")
    config = load_config(CONFIGS / "grpo" / "rex_omni_3b.py")
    assert config.trainer.rollout.type == "VLLMBackend"
    plan = json.loads((CONFIGS.parent / config.trainer.deepspeed).read_text())
    assert plan["zero_optimization"]["stage"] == 2
