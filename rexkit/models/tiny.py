"""The tiny embedded model: the real classes with small numbers, for a laptop without network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from rexkit._compat.transformers import Qwen2VLImageProcessorPil
from rexkit.models.coordinate_tokens import coordinate_ids, start_smoothly
from rexkit.models.pixels import pixel_budget
from rexkit.models.processors import (
    IMAGE_PROCESSORS,
    IMAGE_TOKEN,
    VIDEO_TOKEN,
    VISION_END,
    VISION_START,
)
from rexkit.models.tiny_tokenizer import build_tiny_tokenizer
from rexkit.models.vlm import VLM, Part
from rexkit.registry import MODELS

Family = Literal["qwen3_vl", "qwen2_5_vl"]

SHIPPED_WEIGHTS = Path(__file__).parent / "tiny" / "model.safetensors"


@MODELS.register_module()
class TinyVLM(VLM):
    """A small model of either family, with weights pre-trained on synthetic images.

    Args:
        weights: "shipped" for the weights that come with the package (Qwen3-VL family, default
            sizes), None for random ones, or a path to a safetensors file of the same sizes.
        family: whose classes to build, "qwen3_vl" or "qwen2_5_vl".
        hidden_size, layers, heads, vision_layers, vision_hidden_size: how small.
        min_pixels, max_pixels: budget of a resized image, rounded to whole cells.
        seed: of the random weights.
        freeze, system_prompt, max_length: as in `VLM`.
    """

    def __init__(
        self,
        weights: str | None = "shipped",
        family: Family = "qwen3_vl",
        *,
        hidden_size: int = 128,
        layers: int = 3,
        heads: int = 2,
        vision_layers: int = 1,
        vision_hidden_size: int = 128,
        min_pixels: int = 96 * 96,
        max_pixels: int = 256 * 256,
        seed: int = 0,
        freeze: tuple[Part, ...] | list[Part] = (),
        system_prompt: str | None = None,
        max_length: int | None = None,
    ):
        tokenizer = build_tiny_tokenizer()
        sizes = {
            "hidden_size": hidden_size,
            "layers": layers,
            "heads": heads,
            "vision_layers": vision_layers,
            "vision_hidden_size": vision_hidden_size,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _FAMILIES[family](tokenizer, **sizes)
            _start(model, tokenizer)
        patch = model.config.vision_config.patch_size
        image_processor = Qwen2VLImageProcessorPil(
            patch_size=patch,
            merge_size=model.config.vision_config.spatial_merge_size,
            temporal_patch_size=model.config.vision_config.temporal_patch_size,
            size=pixel_budget(min_pixels, max_pixels, patch * 2),
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )
        processor = IMAGE_PROCESSORS[family](
            image_processor, tokenizer, chat_template=tokenizer.chat_template
        )
        super().__init__(
            model, processor, freeze=freeze, system_prompt=system_prompt, max_length=max_length
        )
        model.generation_config = GenerationConfig(
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=self.forbidden_ids(),
        )
        if weights is not None:
            path = SHIPPED_WEIGHTS if weights == "shipped" else Path(weights)
            _load(model, path)


def _qwen3_vl(tokenizer: Any, **sizes: int) -> PreTrainedModel:
    width, vision_width = sizes["hidden_size"], sizes["vision_hidden_size"]
    config = Qwen3VLConfig(
        text_config=_text_config(tokenizer, sizes)
        | {"rope_parameters": _rope(width // sizes["heads"]) | {"mrope_interleaved": True}},
        vision_config={
            "depth": sizes["vision_layers"],
            "hidden_size": vision_width,
            "intermediate_size": 2 * vision_width,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
            "out_hidden_size": width,
            # A square of learned positions as fine as the usual 128 x 128 image's 8 x 8 patches.
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [],
        },
        **_token_ids(tokenizer),
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def _qwen2_5_vl(tokenizer: Any, **sizes: int) -> PreTrainedModel:
    width, vision_width = sizes["hidden_size"], sizes["vision_hidden_size"]
    config = Qwen2_5_VLConfig(
        text_config=_text_config(tokenizer, sizes)
        | {"rope_parameters": _rope(width // sizes["heads"])},
        vision_config={
            "depth": sizes["vision_layers"],
            "hidden_size": vision_width,
            "intermediate_size": 2 * vision_width,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
            "out_hidden_size": width,
            "fullatt_block_indexes": list(range(sizes["vision_layers"])),
            "window_size": 112,
        },
        **_token_ids(tokenizer),
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


_FAMILIES = {"qwen3_vl": _qwen3_vl, "qwen2_5_vl": _qwen2_5_vl}


def _text_config(tokenizer: Any, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes["hidden_size"],
        "intermediate_size": 3 * sizes["hidden_size"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["heads"],
        "head_dim": sizes["hidden_size"] // sizes["heads"],
        "max_position_embeddings": 8192,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }


def _rope(head_size: int) -> dict[str, Any]:
    # Thirds of the frequencies for time, height and width; time, which runs over text, takes more.
    side = head_size // 2 * 5 // 16
    return {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "mrope_section": [head_size // 2 - 2 * side, side, side],
    }


def _token_ids(tokenizer: Any) -> dict[str, Any]:
    names = {
        "image_token_id": IMAGE_TOKEN,
        "video_token_id": VIDEO_TOKEN,
        "vision_start_token_id": VISION_START,
        "vision_end_token_id": VISION_END,
    }
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


@torch.no_grad()
def _start(model: PreTrainedModel, tokenizer: Any) -> None:
    """Random weights on a scale at which a narrow network learns fast.

    Matrices keep the variance of their input (spread ``1 / sqrt(inputs)``, less where they add to
    the residual stream); the usual 0.02 is meant for networks ten times as wide. A word starts as
    the same vector with and without its leading space, since prompts spell phrases with it and
    answers without, and coordinates start on a curve.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("pos_embed.weight"):
            parameter.normal_(0, 0.3)
        elif "embed_tokens" in name or "lm_head" in name:
            parameter.normal_(0, 0.1)
        elif parameter.ndim >= 2:
            adds = any(part in name for part in ("o_proj", "down_proj", "attn.proj", "linear_fc2"))
            parameter.normal_(0, (0.4 if adds else 1.0) / math.sqrt(parameter[0].numel()))
    weight: Any = model.get_input_embeddings().weight
    known = tokenizer.get_vocab()
    for token, row in known.items():
        if token.startswith("Ġ") and token[1:] in known:
            weight[row] = weight[known[token[1:]]]
    ids = torch.tensor(coordinate_ids(tokenizer))
    start_smoothly(weight, ids, torch.arange(len(ids)), int(ids.min()))


def _load(model: PreTrainedModel, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; TinyVLM(weights=None) starts at random")
    state = {name: value.float() for name, value in load_file(path).items()}
    wrong = model.load_state_dict(state, strict=False)
    missing = [name for name in wrong.missing_keys if not name.startswith("lm_head.")]
    if missing or wrong.unexpected_keys:
        raise ValueError(
            f"{path} does not hold weights of these sizes: missing {missing[:3]}, "
            f"unexpected {wrong.unexpected_keys[:3]}"
        )
