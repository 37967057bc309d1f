"""The weights of a model in training as one plain checkpoint would hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from torch import nn
from torch.distributed.tensor import DTensor

from rexkit.models.vlm import VLM


def whole_weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight once, by the name transformers gives it; every process must go through all.

    Weights that DeepSpeed ZeRO-3 or FSDP2 keep in shards are gathered one after another. Adapters
    are merged into theirs one after another; the model itself stays as it is, to the last bit.
    Tied weights come once.

    Args:
        model: as it trains, out of its wrapping (`accelerate.Accelerator.unwrap_model`).

    Raises:
        ValueError: adapters of a model in shards.
    """
    if not is_peft_model(model):
        for name, parameter in model.named_parameters():
            with _gathered([parameter]):
                yield name, _full(parameter)
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    inner: Any = model
    if any(_in_shards(parameter) for parameter in inner.parameters()):
        raise ValueError(
            "the adapters of a model in shards cannot be merged while it trains; train them "
            "with DeepSpeed ZeRO-2 or DDP"
        )
    base = inner.get_base_model()
    layers = {n: m for n, m in base.named_modules() if isinstance(m, BaseTunerLayer)}
    for name, parameter in base.named_parameters():
        if ".original_module." in name or inner.base_model.prefix in name:
            continue  # the start of what is trained as a whole; an adapter's own
        plain = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        layer = layers.get(name.rpartition(".base_layer.")[0])
        if layer is None or not name.endswith(".weight"):
            yield plain, parameter.detach()
            continue
        kept = parameter.detach().clone()
        layer.merge()
        merged = parameter.detach().clone()
        layer.unmerge()
        parameter.data.copy_(kept)  # taking away what was added leaves a rest
        yield plain, merged


def save_whole_weights(vlm: VLM, folder: str | Path) -> None:
    """Write model and processor as transformers reads them, adapters merged."""
    model: Any = vlm.model
    model = model.get_base_model() if is_peft_model(model) else model
    weights = {name: weight.cpu().clone() for name, weight in whole_weights(vlm.model)}
    model.save_pretrained(folder, state_dict=weights)
    vlm.processor.save_pretrained(folder)


def _in_shards(parameter: torch.Tensor) -> bool:
    return hasattr(parameter, "ds_id") or isinstance(parameter, DTensor)


def _gathered(parameters: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
    """While it lasts, what ZeRO-3 keeps in shards is whole."""
    if not hasattr(parameters[0], "ds_id"):
        return nullcontext()
    import deepspeed

    found: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(parameters)
    return found


def _full(parameter: torch.Tensor) -> torch.Tensor:
    """What FSDP2 keeps in shards as one."""
    whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
    return whole.detach()
