"""Inputs of a model for packed rows: position ids and attention mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rexkit._compat.transformers import attention_name, rope_positions
from rexkit.packing.attention import MASKS

MODEL_KEYS = ("input_ids", "mm_token_type_ids", "pixel_values", "image_grid_thw")


def model_inputs(batch: Mapping[str, Any], inner: Any) -> dict[str, Any]:
    """Return the arguments to call a model with for packed rows.

    Args:
        batch: Batch of `build_rows`, on the device of the model.
        inner: Model without its output layer (`Qwen2_5_VLModel`, `Qwen3VLModel`), which determines
            position ids and attention.

    Returns:
        The inputs of the model in the batch, ``position_ids`` (3, rows, length) and
        ``attention_mask``.

    Raises:
        ValueError: If the attention of the model does not support packed rows.
    """
    attention = attention_name(inner)
    if attention not in MASKS:
        raise ValueError(
            f"attention {attention!r} does not support packed rows; call "
            "rexkit.packing.use_tree_attention(model, 'dense'), or load the model with "
            "attn_implementation='sdpa'"
        )
    return {
        **{key: batch[key] for key in MODEL_KEYS if key in batch},
        "position_ids": position_ids(batch, inner),
        "attention_mask": MASKS[attention](batch["tree"], batch["branch"]),
        "use_cache": False,
    }


def position_ids(batch: Mapping[str, Any], inner: Any) -> torch.Tensor:
    """Return M-RoPE position ids: a prefix has the model's own, a branch continues them by one.

    Args:
        batch: Batch of `build_rows`.
        inner: As in `model_inputs`.

    Returns:
        (3, rows, length): time, height, width; 0 for padding.
    """
    tree, branch, step = batch["tree"], batch["branch"], batch["step"]
    prefix = (tree >= 0) & (branch == 0)
    sizes = tree[prefix].bincount()
    shape = (len(sizes), int(sizes.max()))
    cell = (tree[prefix], step[prefix])
    real = torch.zeros(shape, dtype=torch.long, device=tree.device).index_put(
        cell, torch.ones_like(cell[0])
    )
    ids, token_types = (
        torch.zeros(shape, dtype=torch.long, device=tree.device).index_put(cell, batch[key][prefix])
        for key in ("input_ids", "mm_token_type_ids")
    )
    of_prefixes = rope_positions(
        inner,
        input_ids=ids,
        mm_token_type_ids=token_types,
        image_grid_thw=batch.get("image_grid_thw"),
        attention_mask=real,
    )
    ends = of_prefixes.masked_fill(real == 0, -1).amax((0, 2)) + 1
    # Prefixes are looked up, branches continue, and padding (tree -1) is overwritten.
    safe = step.clamp(max=shape[1] - 1)
    found = torch.where(branch == 0, of_prefixes[:, tree, safe], ends[tree] + step)
    return found.masked_fill(tree < 0, 0)
