"""LoRA adapters: what they train, and merging them into the models they were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

from rexkit.errors import ConfigError, UserError


def lora_settings(model: Any, lora: Mapping[str, Any], added: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of ``peft.LoraConfig``, by which the rows of added tokens train too.

    Args:
        model: the model, with those rows.
        lora: arguments of ``peft.LoraConfig``.
        added: ids of the tokens that the model's own checkpoint does not have.

    Raises:
        ConfigError: ``modules_to_save`` names a layer whose matrix is that of another layer; peft
            would train a copy, which plain transformers cannot load.
    """
    settings = dict(lora)
    head = model.get_output_embeddings()
    tied = head is None or head.weight is model.get_input_embeddings().weight
    layers = ("embed_tokens", "lm_head")
    whole = [name for name in layers if name in (settings.get("modules_to_save") or ())]
    if tied and whole:
        raise ConfigError(
            f"model.lora.modules_to_save: {whole[0]} shares its matrix with the other end of this "
            "model, which a copy in the adapter would undo; leave it out (rows of added tokens "
            "train anyway), or name rows in trainable_token_indices"
        )
    rows = settings.get("trainable_token_indices") or {}
    rows = dict(rows) if isinstance(rows, Mapping) else {"embed_tokens": list(rows)}
    for layer in layers[:1] if tied else layers:
        if added and layer not in whole:
            rows[layer] = sorted({*rows.get(layer, ()), *added})
    if rows:
        settings["trainable_token_indices"] = rows
    return settings


def merge_adapter(
    adapter: Path, base: str | None = None, **options: Any
) -> tuple[PreTrainedModel, str]:
    """Merge a LoRA adapter; return the model and the folder or hub id of its processor.

    Args:
        adapter: a folder as peft saves it.
        base: the model it was trained on; left out, the one it names.
        options: of ``from_pretrained``.

    Raises:
        UserError: the adapter names no model, and ``base`` is not given.
    """
    from peft import PeftConfig, PeftModel

    named = base or PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    if not named:
        raise UserError(f"{adapter} does not name the model it was trained on; give --base")
    model: Any = AutoModelForImageTextToText.from_pretrained(named, **options)
    rows = _embedding_rows(adapter)
    have = model.get_input_embeddings().num_embeddings
    has_tokens = (adapter / "tokenizer_config.json").is_file()
    if rows is None and has_tokens:
        rows = max(have, len(AutoTokenizer.from_pretrained(str(adapter))))
    if rows is not None and rows != have:
        # Coordinate tokens were added before the adapter was trained.
        model.resize_token_embeddings(rows, mean_resizing=False)
    merged: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return merged, str(adapter) if has_tokens else str(named)


def _embedding_rows(adapter: Path) -> int | None:
    """Return the number of embedding rows saved with an adapter, or None."""
    file = adapter / "adapter_model.safetensors"
    state = load_file(file) if file.is_file() else {}
    return next((len(w) for n, w in state.items() if n.endswith("embed_tokens.weight")), None)
