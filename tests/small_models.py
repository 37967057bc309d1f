"""Small models with random weights, of every kind of image processing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from rexkit.grammar.tokens import COORD_TOKENS
from rexkit.models import TinyVLM

KINDS = ("qwen3_vl", "qwen2_5_vl", "deepstack")


def small_model(kind: str, **sizes: int) -> TinyVLM:
    """Build a family by name, or Qwen3-VL with features of each vision layer ("deepstack")."""
    if kind != "deepstack":
        return TinyVLM(weights=None, family=kind, **sizes)
    tiny = TinyVLM(weights=None, vision_layers=2, **sizes)
    config = Qwen3VLConfig(**tiny.model.config.to_dict())
    config.vision_config.deepstack_visual_indexes = [0, 1]
    torch.manual_seed(0)
    tiny.model = Qwen3VLForConditionalGeneration(config).eval()
    return tiny


def base_without_coordinates(folder: Path, tied: bool, spare: int) -> None:
    """Save a small checkpoint whose vocabulary has no coordinate tokens.

    Args:
        folder: where to.
        tied: whether embedding and output layer are one matrix.
        spare: number of rows beyond the tokens.
    """
    sizes = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)
    TinyVLM(weights=None, **sizes).save(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    removed = {a["id"] for a in tokenizer["added_tokens"] if a["content"] in set(COORD_TOKENS)}
    kept = [a for a in tokenizer["added_tokens"] if a["id"] not in removed]
    state = load_file(folder / "model.safetensors")
    [name] = [n for n in state if n.endswith("embed_tokens.weight")]
    order = [i for i in range(len(state[name])) if i not in removed]
    for entry in kept:
        entry["id"] = order.index(entry["id"])
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, "added_tokens": kept}))
    rows = torch.cat([state[name][order], torch.randn(spare, 64) * 0.02])
    state = {n: w for n, w in state.items() if "lm_head" not in n} | {name: rows}
    if not tied:
        state["lm_head.weight"] = torch.randn(rows.shape) * 0.05
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config["text_config"]):
        part |= {"vocab_size": len(rows), "tie_word_embeddings": tied}
    (folder / "config.json").write_text(json.dumps(config))
