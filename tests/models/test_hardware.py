"""What is chosen by the hardware, and adapters by argument."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from rexkit.inference.predictor import Predictor
from rexkit.models import PretrainedVLM, TinyVLM, hardware

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    vlm = TinyVLM(weights=None, **SMALL)
    vlm.model.to(torch.bfloat16)
    vlm.save(folder)
    return folder


def pretend(monkeypatch, *, gpu: bool, bfloat16: bool = True, flash: bool = True) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: gpu,
        is_bf16_supported=lambda including_emulation: bfloat16 or including_emulation,
    )
    numbers = {name: getattr(torch, name) for name in ("bfloat16", "float16", "float32")}
    monkeypatch.setattr(hardware, "torch", SimpleNamespace(cuda=cuda, **numbers))
    monkeypatch.setattr(hardware, "is_flash_attn_2_available", lambda: flash)


@pytest.mark.parametrize(
    ("machine", "dtype", "attention"),
    [
        (dict(gpu=True), "bfloat16", "flash_attention_2"),
        (dict(gpu=True, flash=False), "bfloat16", "sdpa"),
        (dict(gpu=True, bfloat16=False), "float32", "sdpa"),
        (dict(gpu=False), "float32", "sdpa"),
    ],
)
def test_a_predictor_asks_for_what_suits_the_hardware(
    checkpoint, monkeypatch, machine, dtype, attention
):
    pretend(monkeypatch, **machine)
    asked = {}
    load = AutoModelForImageTextToText.from_pretrained

    def note(path, **options):
        asked.update(options)
        return load(path, dtype=torch.float32)

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", note)
    Predictor(str(checkpoint))
    assert (asked["dtype"], asked["attn_implementation"]) == (getattr(torch, dtype), attention)
    # What is asked for by name stays, and so does the default of training.
    Predictor(str(checkpoint), dtype="float16", attn_implementation="sdpa")
    assert (asked["dtype"], asked["attn_implementation"]) == (torch.float16, "sdpa")
    PretrainedVLM(str(checkpoint))
    assert (asked["dtype"], asked["attn_implementation"]) == ("auto", "sdpa")


def test_numbers_of_unknown_type_are_left_to_sdpa(monkeypatch):
    pretend(monkeypatch, gpu=True)
    assert hardware.hardware_attention(None) == "sdpa"
    assert hardware.hardware_attention(torch.float16) == "flash_attention_2"


def test_this_machine_gets_a_model_that_runs(checkpoint):
    if torch.cuda.is_available():
        pytest.skip("this one is about machines without a GPU")
    vlm = PretrainedVLM(str(checkpoint), dtype="hardware", attn_implementation="hardware")
    assert vlm.model.dtype == torch.float32
    assert PretrainedVLM(str(checkpoint)).model.dtype == torch.bfloat16


def test_an_adapter_by_argument_is_merged_into_the_model_that_is_named(checkpoint, tmp_path):
    peft = pytest.importorskip("peft")
    trained = PretrainedVLM(
        str(checkpoint), dtype="float32", lora=dict(r=4, target_modules="all-linear")
    )
    torch.manual_seed(0)
    for name, parameter in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    assert isinstance(trained.model, peft.PeftModel)
    trained.model.save_pretrained(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace(str(checkpoint), "moved/elsewhere"))
    image = Image.new("RGB", (64, 64), "red")
    batch = trained.encoder.questions([image], ["Detect cup."])
    plain = PretrainedVLM(str(checkpoint), dtype="float32")
    opened = PretrainedVLM(str(checkpoint), dtype="float32", adapter=str(tmp_path))
    with torch.inference_mode():
        wanted = trained.model.eval()(**batch).logits
        torch.testing.assert_close(opened.model(**batch).logits, wanted, atol=1e-4, rtol=0)
        assert (plain.model(**batch).logits - wanted).abs().max() > 1e-2
    results = {
        name: Predictor(str(checkpoint), max_new_tokens=8, **options).predict(
            image, categories="cup"
        )[0]
        for name, options in {"plain": {}, "adapted": {"adapter": str(tmp_path)}}.items()
    }
    assert results["plain"].text != results["adapted"].text
    # Generation sees through an adapter that was not merged.
    asked = Predictor(trained, max_new_tokens=8).predict([image] * 2, categories="cup")
    assert {result.text for result in asked} == {results["adapted"].text}
