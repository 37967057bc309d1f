"""Pixel budget and system prompt of a checkpoint: its own, the public ones, or those set."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paths import CONFIGS
from PIL import Image

from rexkit._compat.transformers import Qwen2VLImageProcessorPil
from rexkit.backends import SamplingParams, TransformersBackend
from rexkit.config import load_config
from rexkit.errors import ConfigError
from rexkit.inference.predictor import Predictor
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.checkpoint_settings import (
    SETTINGS,
    CheckpointSettings,
    checkpoint_settings,
    default_sampling,
)
from rexkit.models.pixels import grid_size, to_patches

PUBLIC = "You are a helpful assistant"
SMALL = dict(weights=None, family="qwen2_5_vl", hidden_size=64, layers=1, heads=1)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A checkpoint as others save it, with the stock budget of 12.8 million pixels."""
    folder = tmp_path_factory.mktemp("released")
    TinyVLM(**SMALL).save(folder)
    (folder / SETTINGS).unlink()
    file = folder / "processor_config.json"
    content = json.loads(file.read_text())
    content["image_processor"]["size"] = {"shortest_edge": 3136, "longest_edge": 12_845_056}
    file.write_text(json.dumps(content))
    return folder


def budget(vlm) -> list[int]:
    size = vlm.processor.image_processor.size
    return [size["shortest_edge"], size["longest_edge"]]


def test_a_released_checkpoint_is_used_as_the_public_code_uses_it(released, caplog):
    with caplog.at_level(logging.INFO, "rexkit"):
        vlm = PretrainedVLM(str(released))
    assert budget(vlm) == [16 * 28 * 28, 2560 * 28 * 28]
    assert vlm.encoder.chat("Hi.").startswith(f"<|im_start|>system\n{PUBLIC}<|im_end|>\n")
    assert "the public Rex-Omni code" in caplog.text
    assert f"12544 to {2560 * 28 * 28} pixels" in caplog.text


@pytest.mark.parametrize("size", [(4000, 3000), (30, 40), (640, 480), (3000, 200)])
def test_images_have_the_size_of_the_stock_processor_at_the_public_budget(released, size):
    processor = PretrainedVLM(str(released)).processor.image_processor
    stock = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 16 * 28 * 28, "longest_edge": 2560 * 28 * 28}
    )
    image = Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8))
    _, rows, columns = stock(images=[image], return_tensors="np")["image_grid_thw"][0].tolist()
    assert grid_size(size, processor) == (columns * 14, rows * 14)
    assert to_patches([image], processor)[1].tolist() == [[1, rows, columns]]
    assert 16 <= rows * columns // 4 <= 2560


@pytest.mark.parametrize(
    ("size", "resized", "published", "text_tokens", "question"),
    [
        (
            *((1440, 810), (1428, 812), 1549, 70),
            "Detect man, woman, yellow flower, sofa, robot-shope light, blanket, microwave, "
            "laptop, cup, white chair, lamp. . Output the bounding box coordinates in "
            "[x0, y0, x1, y1] format.",
        ),
        (
            *((768, 576), (756, 588), 617, 50),
            "Detect dog, car, bicycle, motorcycle. Output the bounding box coordinates in "
            "[x0, y0, x1, y1] format.",
        ),
    ],
)
def test_prompts_have_the_tokens_that_public_records_state(
    released, size, resized, published, text_tokens, question
):
    # The prompt tokens are those of the image and those of the text, which were counted with the
    # vocabulary of Qwen2.5: one more with a full stop after the system prompt.
    vlm = PretrainedVLM(str(released))
    assert grid_size(size, vlm.processor.image_processor) == resized
    assert (resized[0] // 28) * (resized[1] // 28) + text_tokens == published
    assert vlm.encoder.chat(question) == (
        f"<|im_start|>system\n{PUBLIC}<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|><|image_pad|><|vision_end|>{question}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_arguments_replace_the_settings(released):
    vlm = PretrainedVLM(str(released), max_pixels=28 * 28 * 20, system_prompt="Be brief.")
    assert budget(vlm) == [16 * 28 * 28, 20 * 28 * 28]
    assert vlm.encoder.system_prompt == "Be brief."
    template = PretrainedVLM(str(released), system_prompt="")
    assert PUBLIC not in template.encoder.chat("Hi.")


@pytest.mark.parametrize("prompt", [None, "Ünd so weiter."])
def test_a_checkpoint_of_rexkit_says_its_own(tmp_path, prompt, caplog):
    vlm = TinyVLM(**SMALL, min_pixels=56 * 56, max_pixels=112 * 84, system_prompt=prompt)
    vlm.save(tmp_path)
    with caplog.at_level(logging.INFO, "rexkit"):
        again = PretrainedVLM(str(tmp_path))
    assert SETTINGS in caplog.text
    assert budget(again) == budget(vlm) == [56 * 56, 112 * 84]
    assert again.encoder.chat("Hi.") == vlm.encoder.chat("Hi.")
    changed = PretrainedVLM(str(tmp_path), max_pixels=84 * 84, system_prompt="Other.")
    changed.save(tmp_path / "changed")
    saved = checkpoint_settings(str(tmp_path / "changed"), 28)
    assert saved == CheckpointSettings(56 * 56, 84 * 84, "Other.")


def test_settings_that_cannot_be_read_are_an_error_with_the_file(tmp_path):
    (tmp_path / SETTINGS).write_text('{"min_pixels": 1}')
    with pytest.raises(ConfigError, match=r"rexkit\.json: .*max_pixels"):
        checkpoint_settings(str(tmp_path), 28)


def test_a_released_checkpoint_is_sampled_from_as_in_the_public_code(released, tmp_path):
    predictor = Predictor(str(released))
    assert predictor.backend.sampling == SamplingParams(
        repetition_penalty=1.05, max_new_tokens=4096
    )
    own = Predictor(str(released), repetition_penalty=1.0, max_new_tokens=64)
    assert own.backend.sampling == SamplingParams(max_new_tokens=64)
    # Fine-tuned weights keep the habit, and a config says its own.
    predictor.vlm.save(tmp_path)
    assert Predictor(str(tmp_path)).backend.sampling == predictor.backend.sampling
    assert TransformersBackend(predictor.vlm).sampling == SamplingParams()


def test_other_checkpoints_are_sampled_from_by_the_defaults(released, tmp_path):
    TinyVLM(**SMALL).save(tmp_path)
    assert Predictor(str(tmp_path)).backend.sampling == SamplingParams()
    assert Predictor(TinyVLM(**SMALL)).backend.sampling == SamplingParams()
    stock = SimpleNamespace(get_vocab=lambda: {"<|box_start|>": 0})  # without coordinates
    assert default_sampling(str(released), stock) == {}


@pytest.mark.parametrize("name", ["IDEA-Research/Rex-Omni", "IDEA-Research/Rex-Omni-AWQ"])
def test_a_server_of_the_released_weights_is_asked_as_the_public_code_asks(name, released):
    asked = SamplingParams(repetition_penalty=1.05, max_new_tokens=4096)
    assert Predictor(name, "openai").backend.sampling == asked
    assert Predictor("my-model", "openai", checkpoint=str(released)).backend.sampling == asked
    assert Predictor("my-model", "openai").backend.sampling == SamplingParams()


def test_the_config_of_the_released_weights_says_it_too():
    backend = load_config(CONFIGS / "sft/rex_omni_3b_grounding.py").backend
    assert (backend.repetition_penalty, backend.max_new_tokens) == (1.05, 4096)
