"""Private and undocumented names of peft."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_WRAPPERS = re.compile(r"\.(base_layer|token_adapter|modules_to_save\.default)(?=\.)")
_ADDED = re.compile(
    r"\.(original_module|modules_to_save\.(?!default\.)\w+|trainable_tokens_\w+|lora_\w+)\."
)
"""Other copies of a fully trained module, trained rows, and matrices of the adapter."""


def is_targeted(settings: Mapping[str, Any], name: str) -> bool:
    """Return whether the arguments of ``peft.LoraConfig`` put an adapter on a layer.

    Args:
        settings: the arguments.
        name: of an embedding or output layer in the model, which "all-linear" leaves out.
    """
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    weights = settings.get("target_parameters") or ()
    if any(f".{name}.weight".endswith(f".{weight}") for weight in weights):
        return True
    targets = settings.get("target_modules")
    if targets is None or targets == "all-linear":
        return False
    return bool(check_target_module_exists(LoraConfig(**settings), name))


def is_named(names: Any, name: str) -> bool:
    """Return whether ``modules_to_save`` or keys of ``trainable_token_indices`` name a layer.

    Args:
        names: those names, or one of them.
        name: of the layer in the model.
    """
    return any(name.endswith(end) for end in ([names] if isinstance(names, str) else names))


def complete_wrappers(model: Any) -> None:
    """Give the wrappers that peft puts around layers what models and trainers read of layers.

    Copies of modules get the config of the model, by which its attention is chosen, and an output
    layer of which rows train gets its bias, which TRL reads.

    Args:
        model: A `peft.PeftModel`.
    """
    from peft.utils import ModulesToSaveWrapper
    from peft.utils.other import TrainableTokensWrapper

    for wrapper in list(model.modules()):
        if isinstance(wrapper, ModulesToSaveWrapper):
            for copy in wrapper.modules_to_save.values():
                originals = wrapper.original_module.modules()
                for module, original in zip(copy.modules(), originals, strict=True):
                    if hasattr(original, "config"):
                        module.config = original.config
        elif isinstance(wrapper, TrainableTokensWrapper):
            bias = getattr(wrapper.original_module, "bias", None)
            object.__setattr__(wrapper, "bias", bias)  # no second parameter of the model


def merge_each_kind(model: Any) -> None:
    """Merge one adapter of each kind and take it out again; what peft cannot merge is an error.

    Args:
        model: A `peft.PeftModel` that is not sharded.
    """
    tried = set()
    for layer in _layers(model.get_base_model()).values():
        inner = layer.get_base_layer()
        kind = (type(layer), type(inner), getattr(inner, "bias", None) is None)
        if kind not in tried:
            tried.add(kind)
            with _merged([layer]):
                pass


def merged_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of an adapted model by their names in the base model, adapters merged.

    The model itself stays unchanged, to the last bit.

    Args:
        model: A `peft.PeftModel` that is not sharded.
    """
    base = model.get_base_model()
    layers = _layers(base)
    for name, parameter in base.named_parameters():
        if _ADDED.search(name):
            continue
        ends = [match.start() for match in re.finditer(r"\.base_layer\.", name)]
        around = [layers[name[:end]] for end in reversed(ends) if name[:end] in layers]
        with _merged(around):
            yield _WRAPPERS.sub("", name), parameter.detach().clone() if around else parameter.data


def _layers(base: Any) -> dict[str, Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {n: m for n, m in base.named_modules() if isinstance(m, BaseTunerLayer)}


@contextmanager
def _merged(layers: list[Any]) -> Iterator[None]:
    """Merge adapters; afterwards the weights are as before, without the rounding of unmerging."""
    weights = [p for layer in layers[:1] for p in layer.get_base_layer().parameters()]
    kept = [weight.detach().clone() for weight in weights]
    for layer in layers:
        layer.merge()
    try:
        yield
    finally:
        for layer in reversed(layers):
            layer.unmerge()
        for weight, values in zip(weights, kept, strict=True):
            weight.data.copy_(values)
