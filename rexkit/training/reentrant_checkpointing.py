"""Reentrant gradient checkpointing of a vision tower whose first layer does not train."""

from __future__ import annotations

from typing import Any

from rexkit.errors import ConfigError
from rexkit.models.vlm import VLM


def require_patch_grads(vlm: VLM, args: Any) -> None:
    """Let gradients pass to the blocks of the vision tower under reentrant checkpointing.

    It computes none for a block whose input needs none. Under LoRA that is the first block, whose
    input are frozen patch embeddings, and with it all others; transformers does the same for token
    embeddings.

    Args:
        vlm: the model.
        args: of the trainer.

    Raises:
        ConfigError: the model has no patch embeddings that are found.
    """
    options = args.gradient_checkpointing_kwargs or {}
    trains = any(part == "vision_tower" for part, _, _ in vlm.trainable_by_part())
    if not (args.gradient_checkpointing and options.get("use_reentrant") and trains):
        return
    layer = getattr(getattr(vlm.inner, "visual", None), "patch_embed", None)
    if layer is None:
        raise ConfigError(
            "trainer.gradient_checkpointing_kwargs: with use_reentrant=True this model's vision "
            "tower would not train; leave it out"
        )
    layer.register_forward_hook(lambda module, inputs, output: output.requires_grad_())
