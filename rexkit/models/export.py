"""Export of training checkpoints to folders that transformers and vLLM load.

A training run saves whole weights, DeepSpeed's shards, FSDP's shards or only a LoRA adapter,
depending on how it was distributed; the public GRPO code saves the shards of verl. Each becomes a
folder with safetensors, processor, chat template and generation config.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, PreTrainedModel

from rexkit._compat.accelerate import FSDP_SHARDS
from rexkit.errors import UserError
from rexkit.models.adapter import merge_adapter
from rexkit.models.checkpoints import (
    CheckpointKind,
    checkpoint_kind,
    finished_model,
    weights_fault,
)
from rexkit.models.load_errors import loading
from rexkit.models.processors import load_processor
from rexkit.models.verl_shards import DESCRIPTION, merge_shards

logger = logging.getLogger(__name__)


def export(checkpoint: str | Path, folder: str | Path, base: str | None = None) -> CheckpointKind:
    """Write a training checkpoint as a folder that transformers and vLLM load.

    DeepSpeed's shards are pickles, which can run code when they are read: export only such
    checkpoints that you trained yourself. Those of verl are read without running any.

    Args:
        checkpoint: A checkpoint, or a work directory, of which ``final`` is taken if training
            ended and it is whole, else the last whole checkpoint; or an actor folder of verl.
        folder: Folder to write the model to.
        base: Model that a LoRA adapter was trained on; None takes the one the adapter names.

    Weights have the dtype that the checkpoint's config names. Those of verl, whose trainer keeps
    them in float32, are written in bfloat16, as the public script does.

    Returns:
        The kind of checkpoint that was exported.

    Raises:
        FileNotFoundError: If there is no folder ``checkpoint``.
        UserError: If there is no complete checkpoint, or its weights do not match its config.
    """
    source = finished_model(Path(checkpoint))
    kind = checkpoint_kind(source)
    if (fault := weights_fault(source)) is not None:
        raise UserError(f"{source} {fault}; export another checkpoint of the run")
    logger.info("exporting %s (%s)", source, kind)
    processor_folder = str(source)
    if kind == "adapter":
        model, processor_folder = merge_adapter(source, base, dtype="auto")
    elif kind == "whole":
        model = _load(source)
    elif kind == "verl":
        description = source / DESCRIPTION
        processor_folder = str(description)
        model = _load(description, merge_shards(source), torch.bfloat16)
    else:
        state = _deepspeed_state(source) if kind == "deepspeed" else _fsdp_state(source)
        model = _load(source, state)
    model.save_pretrained(folder)
    load_processor(processor_folder, model.config.model_type).save_pretrained(folder)
    return kind


def _load(
    source: Path,
    state: dict[str, torch.Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> PreTrainedModel:
    """Load the model from its own or given weights; missing or unexpected weights are an error."""
    if not (source / "config.json").is_file():
        raise UserError(f"{source} has no config.json, so its weights cannot be loaded")
    auto: Any = AutoModelForImageTextToText
    if state is None:
        with loading(source, "model"):
            model, found = auto.from_pretrained(source, dtype="auto", output_loading_info=True)
    else:
        config = AutoConfig.from_pretrained(source)
        # The auto class requires a path; the class that it chooses does not.
        with torch.device("meta"):
            model_class = type(auto.from_config(config))
        model, found = model_class.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype or config.dtype,
            output_loading_info=True,
        )
        if (source / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(source)
    wrong = {name: sorted(found[name]) for name in ("missing_keys", "unexpected_keys")}
    if any(wrong.values()):
        raise UserError(
            f"the weights in {source} do not match its config.json: missing "
            f"{wrong['missing_keys'][:3]}, unexpected {wrong['unexpected_keys'][:3]}"
        )
    checked: PreTrainedModel = model
    return checked


def _deepspeed_state(source: Path) -> dict[str, torch.Tensor]:
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    state: dict[str, torch.Tensor] = get_fp32_state_dict_from_zero_checkpoint(str(source))
    return state


def _fsdp_state(source: Path) -> dict[str, torch.Tensor]:
    from accelerate.utils import merge_fsdp_weights

    with tempfile.TemporaryDirectory() as folder:
        merge_fsdp_weights(str(source / FSDP_SHARDS), folder)
        return load_file(Path(folder) / "model.safetensors")
