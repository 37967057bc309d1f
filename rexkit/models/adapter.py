"""LoRA adapters: what they train, and merging them into the models they were trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

from rexkit._compat.peft import complete_wrappers, is_named, is_targeted, merge_each_kind
from rexkit.errors import ConfigError, UserError
from rexkit.models.load_errors import loading


def add_adapter(model: Any, lora: Mapping[str, Any], added: Sequence[int]) -> Any:
    """Return a model with a new LoRA adapter, in which the rows of added tokens train too.

    Args:
        model: the model, with those rows.
        lora: arguments of ``peft.LoraConfig``.
        added: ids of the tokens that the model's own checkpoint does not have.

    Raises:
        ConfigError: peft refuses the arguments; or what they train could not be exported, as
            `lora_settings` says.
    """
    from peft import LoraConfig, get_peft_model

    try:
        adapted = get_peft_model(model, LoraConfig(**lora_settings(model, lora, added)))
        complete_wrappers(adapted)
        merge_each_kind(adapted)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"model.lora: {' '.join(str(error).split())}") from error
    if not any(parameter.requires_grad for parameter in adapted.parameters()):
        raise ConfigError("model.lora.inference_mode: nothing would train; leave it out")
    return adapted


def lora_settings(model: Any, lora: Mapping[str, Any], added: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of ``peft.LoraConfig``, by which the rows of added tokens train too.

    Args:
        model: the model, with those rows.
        lora: arguments of ``peft.LoraConfig``.
        added: ids of the tokens that the model's own checkpoint does not have.

    Raises:
        ConfigError: ``modules_to_save`` or ``target_modules`` names a layer whose matrix is that of
            another layer, so that plain transformers could not load what is trained; an adapter
            would be on a layer of which rows train whole; a row is not in the vocabulary; or the
            adapter starts from weights that cannot be made again.
    """
    settings = dict(lora)
    if str(settings.get("init_lora_weights")).startswith("pissa_niter"):
        raise ConfigError(
            "model.lora.init_lora_weights: 'pissa_niter_…' changes the model's weights at random, "
            "which are not saved; use 'pissa'"
        )
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is None or head.weight is table.weight
    ends = {name: m for name, m in model.named_modules() if m is table or m is head}
    short = {name: name.rpartition(".")[2] for name in ends}
    [first] = [short[name] for name, module in ends.items() if module is table]
    saved = settings.get("modules_to_save") or ()
    parts = {name: _prefixes(name) for name in ends}
    whole = [short[name] for name in ends if any(is_named(saved, p) for p in parts[name])]
    targeted = [short[n] for n in ends if short[n] not in whole and is_targeted(settings, n)]
    for key, named in (("modules_to_save", whole), ("target_modules", targeted)):
        if tied and named:
            raise ConfigError(
                f"model.lora.{key}: {named[0]} shares its matrix with the other end of this model, "
                "and plain transformers could not load what is trained; leave it out (rows of "
                "added tokens train anyway), or name rows in trainable_token_indices"
            )
    rows: dict[str, Any] = {}
    given = settings.get("trainable_token_indices") or {}
    for key, ids in (given if isinstance(given, Mapping) else {first: given}).items():
        [layer] = [short[name] for name in ends if is_named(key, name)] or [key]
        layer = first if tied and layer in short.values() else layer
        rows[layer] = [*rows.get(layer, ()), *ids]
        outside = [i for i in ids if not 0 <= i < table.num_embeddings]
        if layer in short.values() and outside:
            raise ConfigError(
                f"model.lora.trainable_token_indices: {outside[0]} is no row of {layer}, which has "
                f"{table.num_embeddings}"
            )
    for layer in [first] if tied else short.values():
        rows[layer] = sorted({*rows.get(layer, ()), *added})
    rows = {layer: ids for layer, ids in rows.items() if ids and layer not in whole}
    for layer in targeted:
        if layer in rows:
            raise ConfigError(
                f"model.lora.target_modules: {layer} cannot have an adapter beside rows that train "
                "whole, those of added tokens or of trainable_token_indices; leave it out, or put "
                "it into modules_to_save"
            )
    if given or rows:
        settings["trainable_token_indices"] = rows or None
    return settings


def _prefixes(name: str) -> list[str]:
    """Return the names of a module and of the modules that it is in.

    >>> _prefixes("model.visual.patch_embed")
    ['model', 'model.visual', 'model.visual.patch_embed']
    """
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def check_low_rank(adapter: Path) -> None:
    """Check that an adapter is low-rank matrices and nothing else, which vLLM can apply.

    Args:
        adapter: a folder as peft saves it.

    Raises:
        ConfigError: there is no adapter; or it holds rows of tokens or whole layers too.
    """
    file = adapter / "adapter_config.json"
    if not file.is_file():
        raise ConfigError(f"adapter: there is no {file}")
    settings = json.loads(file.read_text("utf-8"))
    keys = ("trainable_token_indices", "modules_to_save", "use_dora", "target_parameters")
    for key in keys:
        if settings.get(key):
            raise ConfigError(
                f"adapter: {adapter} has {key}, and vLLM applies low-rank matrices only; merge it "
                "by rexkit export, and load the result as model"
            )


def merge_adapter(
    adapter: Path, base: str | None = None, **options: Any
) -> tuple[PreTrainedModel, str]:
    """Merge a LoRA adapter; return the model and the folder or hub id of its processor.

    Args:
        adapter: a folder as peft saves it.
        base: the model it was trained on; left out, the one it names.
        options: of ``from_pretrained``.

    Raises:
        UserError: the adapter names no model, and ``base`` is not given; or it does not fit.
    """
    from peft import PeftConfig, PeftModel

    with loading(adapter, "adapter_config.json"):
        named = base or PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    if not named:
        raise UserError(f"{adapter} does not name the model it was trained on; give --base")
    with loading(named, "model"):
        model: Any = AutoModelForImageTextToText.from_pretrained(named, **options)
    with loading(adapter, "weights"):
        rows = _embedding_rows(adapter)
    have = model.get_input_embeddings().num_embeddings
    has_tokens = (adapter / "tokenizer_config.json").is_file()
    if rows is None and has_tokens:
        with loading(adapter, "tokenizer"):
            rows = max(have, len(AutoTokenizer.from_pretrained(str(adapter))))
    if rows is not None and rows != have:
        # Coordinate tokens were added before the adapter was trained.
        model.resize_token_embeddings(rows, mean_resizing=False)
    try:
        merged: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{adapter}: it cannot be merged into {named}: {reason}") from error
    return merged, str(adapter) if has_tokens else str(named)


def _embedding_rows(adapter: Path) -> int | None:
    """Return the number of embedding rows saved with an adapter, or None."""
    file = adapter / "adapter_model.safetensors"
    state = load_file(file) if file.is_file() else {}
    return next((len(w) for n, w in state.items() if n.endswith("embed_tokens.weight")), None)
