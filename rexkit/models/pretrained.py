"""Pretrained checkpoints of the Qwen2.5-VL and Qwen3-VL families, Rex-Omni among them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from rexkit.errors import ConfigError
from rexkit.models.coordinates import add_coordinate_tokens
from rexkit.models.processing import PICTURE_PROCESSORS, load_processor
from rexkit.models.vlm import VLM, Part, pixel_budget
from rexkit.registry import MODELS


@MODELS.register_module()
class PretrainedVLM(VLM):
    """A checkpoint from a folder or a hub, ready to ask for coordinates.

    Missing coordinate tokens are added once and saved with the checkpoint.

    Args:
        path: a folder or a hub id, such as "IDEA-Research/Rex-Omni".
        min_pixels, max_pixels: budget of a resized picture, rounded to whole cells of the family
            (28 x 28 for Qwen2.5-VL, 32 x 32 for Qwen3-VL); left out, the checkpoint's own.
        dtype: "auto" for the checkpoint's own, or a torch dtype's name such as "bfloat16".
        attn_implementation: as transformers takes it; "sdpa", "flash_attention_2".
        device_map: as transformers takes it; left out, the trainer or backend places the model.
        freeze, system_prompt, max_length: as in `VLM`.

    Raises:
        ConfigError: the checkpoint is of another family.
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
        freeze: tuple[Part, ...] | list[Part] = (),
        system_prompt: str | None = None,
        max_length: int | None = None,
    ):
        config = AutoConfig.from_pretrained(path)
        if config.model_type not in PICTURE_PROCESSORS:
            known = ", ".join(PICTURE_PROCESSORS)
            raise ConfigError(
                f"{path} is a {config.model_type!r} model; known families are {known}"
            )
        model = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            attn_implementation=attn_implementation,
            device_map=device_map,
        )
        processor = load_processor(path, config.model_type)
        add_coordinate_tokens(model, processor.tokenizer)
        images = processor.image_processor
        size = images.size
        images.size = pixel_budget(
            min_pixels or size["shortest_edge"],
            max_pixels or size["longest_edge"],
            images.patch_size * images.merge_size,
        )
        super().__init__(
            model, processor, freeze=freeze, system_prompt=system_prompt, max_length=max_length
        )
