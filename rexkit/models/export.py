"""Training checkpoints to plain folders that transformers and vLLM open.

What a training run leaves depends on how it was spread over devices: whole weights, DeepSpeed's
shards, FSDP's shards, or only a LoRA adapter. All become one folder with safetensors, processor,
chat template and generation config.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, PreTrainedModel

from rexkit.errors import UserError
from rexkit.models.adapter import merge_adapter
from rexkit.models.processors import load_processor

Kind = Literal["adapter", "whole", "deepspeed", "fsdp"]

logger = logging.getLogger(__name__)

_FSDP_SHARDS = "pytorch_model_fsdp_0"  # as accelerate names them
_WHOLE = ("model.safetensors", "model.safetensors.index.json")


def export(checkpoint: str | Path, folder: str | Path, base: str | None = None) -> Kind:
    """Write a training checkpoint as a plain folder.

    DeepSpeed's shards are pickles, which can run code when they are read: export only what you
    trained yourself.

    Args:
        checkpoint: a checkpoint, or a work directory, of which ``final`` is taken if training came
            to its end, else the last checkpoint.
        folder: where the model goes.
        base: the model that a LoRA adapter was trained on; left out, the one the adapter names.

    Returns:
        What kind of checkpoint it was.

    Raises:
        UserError: nothing there can be exported, or weights do not fit the model's config.
    """
    source = _checkpoint_in(Path(checkpoint))
    kind = kind_of(source)
    logger.info("exporting %s (%s)", source, kind)
    home = str(source)  # of config and processor
    if kind == "adapter":
        model, home = merge_adapter(source, base, dtype="auto")
    elif kind == "whole":
        model = _load(source)
    else:
        state = _deepspeed_state(source) if kind == "deepspeed" else _fsdp_state(source)
        model = _load(source, state)
    model.save_pretrained(folder)
    load_processor(home, model.config.model_type).save_pretrained(folder)
    return kind


def kind_of(checkpoint: Path) -> Kind:
    """What a checkpoint consists of; whole weights count before shards of the same weights.

    Raises:
        UserError: none of the known kinds.
    """
    if (checkpoint / "adapter_config.json").is_file():
        return "adapter"
    if any((checkpoint / name).is_file() for name in _WHOLE):
        return "whole"
    if (checkpoint / "latest").is_file():
        return "deepspeed"
    if (checkpoint / _FSDP_SHARDS).is_dir():
        return "fsdp"
    raise UserError(
        f"{checkpoint} is no checkpoint: it holds neither model.safetensors, nor "
        f"adapter_config.json, nor DeepSpeed's 'latest', nor {_FSDP_SHARDS}; nor is it a work "
        "directory with final/ or checkpoint-N/"
    )


def _checkpoint_in(folder: Path) -> Path:
    """The folder itself, or what a work directory has last."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if (folder / "final").is_dir():
        return folder / "final"
    numbered = [
        (int(path.name.rpartition("-")[2]), path)
        for path in folder.glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdigit()
    ]
    return max(numbered)[1] if numbered else folder


def _load(source: Path, state: dict[str, torch.Tensor] | None = None) -> PreTrainedModel:
    """The model, from its own weights or from given ones; every weight must find its place."""
    if not (source / "config.json").is_file():
        raise UserError(f"{source} has no config.json, so its shards cannot be named")
    auto: Any = AutoModelForImageTextToText
    if state is None:
        model, found = auto.from_pretrained(source, dtype="auto", output_loading_info=True)
    else:
        config = AutoConfig.from_pretrained(source)
        # The auto class cannot do without a path; the class it chooses can.
        with torch.device("meta"):
            model_class = type(auto.from_config(config))
        model, found = model_class.from_pretrained(
            None, config=config, state_dict=state, dtype=config.dtype, output_loading_info=True
        )
        if (source / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(source)
    wrong = {name: sorted(found[name]) for name in ("missing_keys", "unexpected_keys")}
    if any(wrong.values()):
        raise UserError(
            f"the weights in {source} do not fit its config.json: missing "
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
        merge_fsdp_weights(str(source / _FSDP_SHARDS), folder)
        return load_file(Path(folder) / "model.safetensors")
