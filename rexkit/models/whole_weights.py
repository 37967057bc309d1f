"""The whole weights of a model in training, as a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from rexkit._compat.accelerate import is_peft_model
from rexkit._compat.deepspeed import gathered, is_zero3_shard
from rexkit._compat.peft import merged_weights
from rexkit.models.vlm import VLM


def whole_weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each weight of a model in training, by the name transformers gives it.

    Weights that DeepSpeed ZeRO-3 or FSDP2 keep in shards are gathered one after another, so every
    process must iterate to the end. Adapters are merged into the weights that are yielded; the
    model itself stays unchanged, to the last bit. Tied weights are yielded once.

    Args:
        model: Model in training, without wrappers (`accelerate.Accelerator.unwrap_model`).

    Yields:
        Name and tensor of each weight.

    Raises:
        ValueError: If the model has adapters and is sharded.
    """
    if not is_peft_model(model):
        for name, parameter in model.named_parameters():
            with gathered([parameter]):
                yield name, _full(parameter)
        return
    inner: Any = model
    if any(_is_sharded(parameter) for parameter in inner.parameters()):
        raise ValueError(
            "adapters of a sharded model cannot be merged during training; train them with "
            "DeepSpeed ZeRO-2 or DDP"
        )
    yield from merged_weights(inner)


def save_whole_weights(vlm: VLM, folder: str | Path) -> None:
    """Save model and processor as transformers loads them, adapters merged.

    Args:
        vlm: Model in training.
        folder: Folder to write to.
    """
    model: Any = vlm.model
    model = model.get_base_model() if is_peft_model(model) else model
    weights = {name: weight.cpu().clone() for name, weight in whole_weights(vlm.model)}
    model.save_pretrained(folder, state_dict=weights)
    vlm.processor.save_pretrained(folder)


def _is_sharded(parameter: torch.Tensor) -> bool:
    return is_zero3_shard(parameter) or isinstance(parameter, DTensor)


def _full(parameter: torch.Tensor) -> torch.Tensor:
    """Return a parameter that FSDP2 keeps in shards as one tensor."""
    whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
    return whole.detach()
