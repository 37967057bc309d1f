"""Private and undocumented names of peft."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def merged_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of an adapted model by their names in the base model, adapters merged.

    The model itself stays unchanged, to the last bit.

    Args:
        model: A `peft.PeftModel` that is not sharded.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = model.get_base_model()
    layers = {n: m for n, m in base.named_modules() if isinstance(m, BaseTunerLayer)}
    for name, parameter in base.named_parameters():
        if ".original_module." in name or model.base_model.prefix in name:
            continue  # the initial copy of a fully trained module, or the adapter itself
        plain = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        layer = layers.get(name.rpartition(".base_layer.")[0])
        if layer is None or not name.endswith(".weight"):
            yield plain, parameter.detach()
            continue
        kept = parameter.detach().clone()
        layer.merge()
        merged = parameter.detach().clone()
        layer.unmerge()
        parameter.data.copy_(kept)  # unmerging leaves a rounding error
        yield plain, merged
