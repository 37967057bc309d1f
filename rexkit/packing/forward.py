"""Packed rows through a model: position ids, attention mask and logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from rexkit.packing.attention import MASKS

RopeIndex = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""``get_rope_index`` of the inner model (`Qwen2_5_VLModel`, `Qwen3VLModel`)."""

MODEL_KEYS = ("input_ids", "mm_token_type_ids", "pixel_values", "image_grid_thw")


def grow(batch: Mapping[str, Any], inner: Any) -> dict[str, Any]:
    """What a model is called with.

    Args:
        batch: of `plant`, on the model's device.
        inner: the model without its output layer (`Qwen2_5_VLModel`, `Qwen3VLModel`), which says
            how it counts positions and what its attention is.

    Returns:
        The model's own inputs, ``position_ids`` (3, rows, length) and ``attention_mask``.

    Raises:
        ValueError: an attention that takes no mask of this kind.
    """
    # Named so by transformers, which has no public way to ask for it.
    attention = inner.language_model.config._attn_implementation
    if attention not in MASKS:
        raise ValueError(
            f"attention {attention!r} cannot tell branches apart; call "
            "rexkit.packing.use_tree_attention(model, 'dense'), or load the model with "
            "attn_implementation='sdpa'"
        )
    return {
        **{key: batch[key] for key in MODEL_KEYS if key in batch},
        "position_ids": positions(batch, inner.get_rope_index),
        "attention_mask": MASKS[attention](batch["tree"], batch["branch"]),
        "use_cache": False,
    }


def positions(batch: Mapping[str, Any], rope_index: RopeIndex) -> torch.Tensor:
    """M-RoPE positions: the trunk's as the model counts them, then on by one in each branch.

    Returns:
        (3, rows, length): time, height, width; 0 for padding.
    """
    tree, branch, step = batch["tree"], batch["branch"], batch["step"]
    trunk = (tree >= 0) & (branch == 0)
    sizes = tree[trunk].bincount()
    shape = (len(sizes), int(sizes.max()))
    place = (tree[trunk], step[trunk])
    real = torch.zeros(shape, dtype=torch.long, device=tree.device).index_put(
        place, torch.ones_like(place[0])
    )
    ids, kinds = (
        torch.zeros(shape, dtype=torch.long, device=tree.device).index_put(place, batch[key][trunk])
        for key in ("input_ids", "mm_token_type_ids")
    )
    of_trunks, _ = rope_index(
        input_ids=ids,
        mm_token_type_ids=kinds,
        image_grid_thw=batch.get("image_grid_thw"),
        attention_mask=real,
    )
    ends = of_trunks.masked_fill(real == 0, -1).amax((0, 2)) + 1
    # Trunks are looked up, branches count on, and padding (tree -1) is overwritten.
    safe = step.clamp(max=shape[1] - 1)
    found = torch.where(branch == 0, of_trunks[:, tree, safe], ends[tree] + step)
    return found.masked_fill(tree < 0, 0)


@contextmanager
def predicting_only(inner: torch.nn.Module, batch: Mapping[str, Any]) -> Iterator[None]:
    """Let the inner model give its hidden states only where a token is predicted.

    In this context ``last_hidden_state`` is (1, N, width), one for each of the batch's ``labels``,
    and so are the logits of the whole model (1, N, vocabulary). It works through every wrapper
    (DDP, FSDP, PEFT), for it changes what the module inside gives.

    Args:
        inner: the model without its output layer, such as `Qwen3VLModel`.
        batch: of `plant`, on the device.
    """

    def pick(module: Any, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[batch["row"], batch["at"]][None]
        return output

    hook = inner.register_forward_hook(pick)
    try:
        yield
    finally:
        hook.remove()
