"""Making the embedded model's weights: the tool runs its stages and goes on where it stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import ROOT

from rexkit.datasets import ShapesDataset
from rexkit.models import TinyVLM

CONFIG = """
custom_imports = dict(imports=["naming_task"])
model = dict(type="TinyVLM", weights=None)
shapes = dict(type="ShapesDataset", size=8, colors=["red", "green"], shapes=["circle", "square"])
trainer = dict(type="SFTTrainer", max_steps=1, per_device_train_batch_size=4, save_strategy="no")
grounding = dict(dataset=shapes, task=dict(type="GroundingTask"))
naming = dict(dataset=shapes, task=dict(type="NamingTask"))
stages = [
    dict(train_data=[grounding], trainer=dict()),
    dict(train_data=[naming], trainer=dict(max_steps=2)),
]
"""


def run(tmp_path: Path) -> str:
    command = [sys.executable, str(ROOT / "tools" / "pretrain_tiny.py")]
    words = ["--config", str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "work")]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_stages_run_once_and_weights_can_be_loaded(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    first = run(tmp_path)
    assert "stage 0:" in first
    assert "stage 1:" in first
    assert "stage" not in run(tmp_path)
    made = TinyVLM(weights=str(tmp_path / "work" / "model.safetensors")).model.state_dict()
    last = TinyVLM(weights=str(tmp_path / "work/stage_1/final/model.safetensors"))
    known = last.tokenizer.get_vocab()
    table = "model.language_model.embed_tokens.weight"
    before = last.model.state_dict()[table]
    # Words of images and chat markup are kept, a word that no example used starts anew.
    for word in ("Ġred", "assistant"):
        assert torch.allclose(made[table][known[word]], before[known[word]], atol=1e-3)
    assert not torch.allclose(made[table][known["Ġpurple"]], before[known["Ġpurple"]], atol=1e-2)


def test_naming_asks_for_places_and_answers_with_phrases(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    task = pytest.importorskip("naming_task").NamingTask()
    sample = ShapesDataset(1, num_objects=(1, 1))[0]
    example = task.example(sample, np.random.default_rng(0), training=True)
    phrase = sample.annotation.instances[0].phrase
    assert example.response == f"<|object_ref_start|>{phrase}<|object_ref_end|>"
    assert example.prompt.startswith("What is at <")
    assert example.prompt.count("<") == 4
