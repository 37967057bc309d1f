"""Pretrained checkpoints of the Qwen2.5-VL and Qwen3-VL families, Rex-Omni among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from rexkit.errors import ConfigError
from rexkit.models.adapter import add_adapter, merge_adapter
from rexkit.models.coordinate_tokens import add_coordinate_tokens
from rexkit.models.hardware import hardware_attention, hardware_dtype
from rexkit.models.load_errors import loading
from rexkit.models.processors import family_of, load_processor
from rexkit.models.vlm import VLM, Part
from rexkit.registry import MODELS


@MODELS.register_module()
class PretrainedVLM(VLM):
    """A checkpoint from a folder or a hub, ready to ask for coordinates.

    Missing coordinate tokens are added once and saved with the checkpoint.

    Args:
        path: a folder or a hub id, such as "IDEA-Research/Rex-Omni"; a LoRA adapter in a folder is
            merged into the model it was trained on.
        min_pixels, max_pixels: budget of a resized image, rounded to whole cells of the family
            (28 x 28 for Qwen2.5-VL, 32 x 32 for Qwen3-VL); left out, that of `checkpoint_settings`.
        dtype: "auto" for the checkpoint's own, "hardware" for bfloat16 on GPUs that have it and
            float32 elsewhere, or a torch dtype's name such as "bfloat16".
        attn_implementation: as transformers takes it, "sdpa" or "flash_attention_2"; or
            "hardware" for FlashAttention-2 where it is installed and ``dtype`` is one of 16 bits,
            and SDPA elsewhere.
        adapter: folder of a LoRA adapter that is merged into the checkpoint.
        device_map: as transformers takes it; left out, the trainer or backend places the model.
        lora: trains a LoRA adapter and nothing else, the arguments of ``peft.LoraConfig``, such as
            ``dict(r=16, target_modules="all-linear")``; its checkpoints hold the adapter alone.
            The rows of tokens that were added to the vocabulary train too, and no others.
        freeze, max_length: as in `VLM`.
        system_prompt: the system message; None takes that of `checkpoint_settings`, and an empty
            string leaves it to the chat template.

    Raises:
        ConfigError: the checkpoint is of another family, or ``lora`` is refused as `add_adapter`
            says, or ``freeze`` leaves out the rows of added tokens.
    """

    def __init__(
        self,
        path: str,
        *,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        dtype: str = "auto",
        attn_implementation: str = "sdpa",
        device_map: Any = None,
        adapter: str | None = None,
        lora: Mapping[str, Any] | None = None,
        freeze: tuple[Part, ...] | list[Part] = (),
        system_prompt: str | None = None,
        max_length: int | None = None,
    ):
        torch_dtype = None
        if dtype != "auto":
            torch_dtype = hardware_dtype() if dtype == "hardware" else getattr(torch, dtype)
        if attn_implementation == "hardware":
            attn_implementation = hardware_attention(torch_dtype)
        options = {
            "dtype": torch_dtype or "auto",
            "attn_implementation": attn_implementation,
            "device_map": device_map,
        }
        model: Any
        if adapter is not None:
            family_of(path)
            model, home = merge_adapter(Path(adapter), path, **options)
        elif (Path(path) / "adapter_config.json").is_file():
            model, home = merge_adapter(Path(path), **options)
        else:
            family_of(path)
            with loading(path, "model"):
                model = AutoModelForImageTextToText.from_pretrained(path, **options)
            home = path
        processor = load_processor(
            home, model.config.model_type, min_pixels, max_pixels, system_prompt
        )
        added = add_coordinate_tokens(model, processor.tokenizer)
        if added and "language_model" in freeze:
            raise ConfigError(
                f"model.freeze: {len(added)} tokens were added to the vocabulary, whose rows would "
                "not train; leave language_model out"
            )
        if lora is not None:
            model = add_adapter(model, lora, added)
        super().__init__(
            model,
            processor,
            freeze=freeze,
            system_prompt=processor.system_prompt,
            max_length=max_length,
        )
