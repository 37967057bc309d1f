"""Private and undocumented names of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import Trainer
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)
from transformers.utils.hub import cached_file
from transformers.utils.import_utils import (
    is_flash_attn_2_available,
    is_torchvision_available,
)

__all__ = [
    "CHECKPOINT_PREFIX",
    "TRAINER_STATE",
    "Qwen2VLImageProcessorPil",
    "TensorBoardCallback",
    "TrainerHooks",
    "TrainerWithSampler",
    "attention_name",
    "cached_file",
    "flex_attention",
    "is_flash_attn_2_available",
    "is_torchvision_available",
    "rope_positions",
    "sdpa_attention",
    "select_rope_deltas",
    "smart_resize",
    "vision_outputs",
]

CHECKPOINT_PREFIX = "checkpoint"
"""Start of the names of checkpoint folders, before ``-N``."""
TRAINER_STATE = "trainer_state.json"
"""File that the trainer writes last into a checkpoint."""

Attention = Callable[..., Any]


class TrainerHooks:
    """Public names for private methods of `transformers.Trainer`; a base class before a trainer."""

    def save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save the folder ``checkpoint-N`` of the current step."""
        trainer: Any = super()
        trainer._save_checkpoint(model, trial)

    def run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train from the current step to the end of the epoch."""
        trainer: Any = super()
        trainer._run_epoch(*args, **kwargs)

    def load_weights(self, checkpoint: str, model: Any = None) -> None:
        """Load the weights of the folder ``checkpoint-N``."""
        trainer: Any = super()
        trainer._load_from_checkpoint(checkpoint, model)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_checkpoint(model, trial)

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        self.load_weights(checkpoint, model)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        self.run_epoch(*args, **kwargs)


class TrainerWithSampler(Trainer):
    """`transformers.Trainer` whose sampler of training examples a subclass chooses."""

    def train_sampler(self) -> Any:
        """Return the sampler of training examples."""
        raise NotImplementedError

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.train_sampler()


def attention_name(inner: Any) -> str:
    """Return the name of the attention of a language model.

    Args:
        inner: Model without its output layer, such as `Qwen3VLModel`.
    """
    name: str = inner.language_model.config._attn_implementation
    return name


def sdpa_attention() -> tuple[Attention, Attention]:
    """Return the SDPA attention function of transformers and the function of its mask."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    return sdpa_attention_forward, sdpa_mask


def flex_attention() -> tuple[Attention, Attention]:
    """Return the FlexAttention function of transformers and the function of its mask."""
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.masking_utils import flex_attention_mask

    return flex_attention_forward, flex_attention_mask


def rope_positions(inner: Any, **inputs: Any) -> torch.Tensor:
    """Return the M-RoPE position ids (3, rows, length) that a model computes for its inputs.

    Args:
        inner: Model without its output layer, such as `Qwen3VLModel`.
        inputs: ``input_ids``, ``mm_token_type_ids``, ``image_grid_thw``, ``attention_mask``.
    """
    found: torch.Tensor = inner.get_rope_index(**inputs)[0]
    return found


def select_rope_deltas(inner: Any, rows: torch.Tensor) -> None:
    """Copy the offsets of M-RoPE positions for the rows of a cache that were copied.

    Generation continues to count positions from these offsets.
    """
    inner.rope_deltas = inner.rope_deltas[rows]


def vision_outputs(
    features: Sequence[torch.Tensor], deepstack: Sequence[Sequence[torch.Tensor]]
) -> dict[str, Any]:
    """Return the argument that passes outputs of the vision tower in place of pixels.

    Args:
        features: (cells, width) features of each image.
        deepstack: (cells, width) features of each image for each of the first layers (Qwen3-VL).
    """
    from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

    values: dict[str, Any] = {
        "pooler_output": list(features),
        "deepstack_features": list(zip(*deepstack, strict=True)),
    }
    return {"mm_encoder_outputs": {"image": BaseModelOutputWithDeepstackFeatures(**values)}}
