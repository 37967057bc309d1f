"""Weights in training as one plain checkpoint: of adapters, and of shards in two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from paths import CONFIGS
from two_processes import run_two_processes

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from PIL import Image
from test_grpo import SMALL, rows
from test_rollouts import RULED_OUT
from transformers import AutoModelForImageTextToText

from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.whole_weights import whole_weights

ZERO3 = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_grpo import SMALL, trainer
from test_rollouts import OwnModel
from rexkit.models import TinyVLM
OwnModel.vlm = TinyVLM(weights=None, **SMALL)  # before ZeRO-3 takes apart whatever is made
trainer(
    Path({work_dir!r}), per_device_train_batch_size=2, max_steps=3, learning_rate=1e-2,
    rollout=dict(type=OwnModel), deepspeed={plan!r}, ddp_backend="gloo", optim="adamw_torch",
    bf16=False,
).fit()
"""

FSDP = """
import sys, torch
sys.path.insert(0, {tests!r})
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from test_grpo import SMALL
from rexkit.models.whole_weights import whole_weights
from rexkit.models import TinyVLM
dist.init_process_group("gloo")
torch.manual_seed(0)
model = TinyVLM(weights=None, **SMALL).model
before = {{name: weight.detach().clone() for name, weight in model.named_parameters()}}
fully_shard(model)
assert any(w.to_local().shape != before[n].shape for n, w in model.named_parameters())
found = dict(whole_weights(model))
assert found.keys() == before.keys()
assert all(torch.equal(found[name], weight) for name, weight in before.items())
dist.destroy_process_group()
"""


def test_a_backend_is_handed_whole_weights_of_zero_3(tmp_path):
    pytest.importorskip("deepspeed", reason="an extra: pip install -e .[deepspeed]")
    plan = str(CONFIGS / "deepspeed" / "zero3.json")
    script = ZERO3.format(
        tests=str(Path(__file__).parent), work_dir=str(tmp_path / "work"), plan=plan
    )
    run_two_processes(tmp_path, script)
    logged = rows(tmp_path / "work")[:3]
    assert all(row["grad_norm"] > 0 for row in logged)
    for row in logged:
        assert row["sampling/sampling_logp_difference/mean"] < RULED_OUT


def test_shards_of_fsdp_are_gathered(tmp_path):
    run_two_processes(tmp_path, FSDP.format(tests=str(Path(__file__).parent)))


def test_merged_weights_leave_the_model_as_it_is(tmp_path):
    pytest.importorskip("peft")
    TinyVLM(weights=None, **SMALL).save(tmp_path / "base")
    lora = dict(r=4, lora_alpha=32, target_modules="all-linear")
    vlm = PretrainedVLM(str(tmp_path / "base"), lora=lora)
    with torch.no_grad():
        for name, parameter in vlm.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    before = {n: p.detach().clone() for n, p in vlm.model.named_parameters()}
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    found = dict(whole_weights(vlm.model))
    assert found.keys() == dict(plain.named_parameters()).keys()
    assert all(torch.equal(p, before[n]) for n, p in vlm.model.named_parameters())
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(found[name])
    inputs = vlm.encoder.questions([Image.new("RGB", (64, 64))], ["Detect cup."])
    with torch.no_grad():
        expected = vlm.model.eval()(**inputs).logits
        torch.testing.assert_close(plain.eval()(**inputs).logits, expected, atol=1e-5, rtol=1e-5)
