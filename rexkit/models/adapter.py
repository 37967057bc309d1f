"""Merging of LoRA adapters into the models they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, PreTrainedModel

from rexkit.errors import UserError


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
    if rows is not None and rows != model.get_input_embeddings().num_embeddings:
        # Coordinate tokens were added before the adapter was trained.
        model.resize_token_embeddings(rows, mean_resizing=False)
    merged: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    has_tokens = (adapter / "tokenizer_config.json").is_file()
    return merged, str(adapter) if has_tokens else str(named)


def _embedding_rows(adapter: Path) -> int | None:
    """Return the number of embedding rows saved with an adapter, or None."""
    file = adapter / "adapter_model.safetensors"
    state = load_file(file) if file.is_file() else {}
    return next((len(w) for n, w in state.items() if n.endswith("embed_tokens.weight")), None)
