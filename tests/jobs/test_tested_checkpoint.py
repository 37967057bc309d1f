"""``rexkit test CONFIG CHECKPOINT``: the checkpoint replaces the weights, and no other setting."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rexkit.config import load_config
from rexkit.models import TinyVLM
from rexkit.run import Run

SETTINGS = """
    min_pixels=64 * 64, max_pixels=96 * 96, system_prompt="Be brief.", max_length=500,
)
"""
MODELS = {
    "tiny": f'model = dict(type="TinyVLM", weights=None, heads=2, {SETTINGS}',
    "pretrained": 'model = dict(type="PretrainedVLM", path="/nowhere", lora=dict(r=4), '
    f'freeze=["projector"], {SETTINGS}',
    "silent": "",
}
DATA = """
task = dict(type="GroundingTask")
test_data = dict(dataset=dict(type="ShapesDataset", size=2), task=task)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    TinyVLM(weights=None, hidden_size=64, layers=1, heads=1, max_pixels=160 * 160).save(folder)
    return str(folder)


def run_of(tmp_path: Path, model: str, checkpoint: str) -> Run:
    file = tmp_path / "config.py"
    file.write_text(MODELS[model] + DATA)
    config = load_config(file, {"work_dir": str(tmp_path / "work")})
    return Run.from_config(config, "test", checkpoint)


@pytest.mark.parametrize("model", ["tiny", "pretrained"])
def test_the_settings_of_the_config_are_kept(tmp_path, model, checkpoint, caplog):
    with caplog.at_level(logging.INFO, "rexkit"):
        vlm = run_of(tmp_path, model, checkpoint).vlm
    size = vlm.processor.image_processor.size
    assert (size["shortest_edge"], size["longest_edge"]) == (64 * 64, 96 * 96)
    assert vlm.encoder.max_length == 500
    assert "Be brief." in vlm.encoder.chat("Hi.")
    replaced = {"tiny": "model.heads, model.weights", "pretrained": "model.lora, model.path"}
    assert f"without its {replaced[model]}\n" in caplog.text
    trained = vlm.count_parameters(trainable=True)
    assert (trained["projector"] == 0) == (model == "pretrained")
    assert not hasattr(vlm.model, "peft_config")


def test_without_settings_in_the_config_those_of_the_checkpoint_are_used(tmp_path, checkpoint):
    vlm = run_of(tmp_path, "silent", checkpoint).vlm
    assert vlm.processor.image_processor.size["longest_edge"] == 160 * 160
    assert vlm.encoder.system_prompt is None
