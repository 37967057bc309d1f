"""Small models with random weights, of every kind of image processing."""

from __future__ import annotations

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from rexkit.models import TinyVLM

KINDS = ("qwen3_vl", "qwen2_5_vl", "deepstack")


def small_model(kind: str, **sizes: int) -> TinyVLM:
    """Build a family by name, or Qwen3-VL with features of each vision layer ("deepstack")."""
    if kind != "deepstack":
        return TinyVLM(weights=None, family=kind, **sizes)
    tiny = TinyVLM(weights=None, vision_layers=2, **sizes)
    config = Qwen3VLConfig(**tiny.model.config.to_dict())
    config.vision_config.deepstack_visual_indexes = [0, 1]
    torch.manual_seed(0)
    tiny.model = Qwen3VLForConditionalGeneration(config).eval()
    return tiny
