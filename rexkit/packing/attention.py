"""Attention masks of packed rows, and attention functions that apply them."""

from __future__ import annotations

from typing import Any, Literal

import torch

from rexkit._compat.transformers import flex_attention, sdpa_attention

AttentionKind = Literal["tree", "dense", "flex"]
"""How packed rows attend, as `use_tree_attention` explains."""


def dense_mask(tree: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """Return the attention mask of packed rows for SDPA.

    Padding attends to padding, since a query without keys has no softmax.

    Args:
        tree: (rows, length) tree of each token, -1 for padding.
        branch: (rows, length) branch of each token, 0 for the prefix.

    Returns:
        (rows, 1, length, length) booleans, True where a query attends to a key.
    """
    position = torch.arange(tree.shape[1], device=tree.device)
    query, key = (slice(None), slice(None), None), (slice(None), None, slice(None))
    same_tree = tree[query] == tree[key]
    same_branch = (branch[key] == 0) | (branch[key] == branch[query])
    return (same_tree & same_branch & (position[:, None] >= position))[:, None]


def block_mask(tree: torch.Tensor, branch: torch.Tensor) -> Any:
    """Return the attention mask of packed rows for FlexAttention, which skips masked blocks.

    Args:
        tree: (rows, length) tree of each token, -1 for padding.
        branch: (rows, length) branch of each token, 0 for the prefix.

    Returns:
        A `torch.nn.attention.flex_attention.BlockMask`.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    def attends(row: Any, head: Any, query: Any, key: Any) -> Any:
        same_branch = (branch[row, key] == 0) | (branch[row, key] == branch[row, query])
        return (tree[row, key] == tree[row, query]) & same_branch & (query >= key)

    rows, length = tree.shape
    return create_block_mask(attends, rows, None, length, length, device=tree.device)


def segment_ids(tree: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """Return the tree and the branch of each token, as `tree_attention` takes them.

    Args:
        tree: (rows, length) tree of each token, -1 for padding.
        branch: (rows, length) branch of each token, 0 for the prefix.

    Returns:
        (rows, 1, 2, length); of four dimensions, since transformers passes such a mask unchanged.
    """
    return torch.stack([tree, branch], 1)[:, None]


def use_tree_attention(model: Any, kind: AttentionKind) -> None:
    """Set the attention of a language model to one that supports packed rows.

    Plain batches and generation work as before, and the vision tower keeps its attention. A
    language model loaded with FlashAttention-2, which cannot separate branches, no longer uses it,
    not even for plain batches.

    Args:
        model: Model of the Qwen2.5-VL or Qwen3-VL family.
        kind: "tree" computes each tree on its own, half the work of a dense mask on CPUs; "dense"
            is SDPA with a square mask of each row; "flex" is FlexAttention, which skips masked
            blocks on GPUs and is compiled at first use.

    Raises:
        ValueError: If ``kind`` is none of these.
    """
    if kind not in NAMES:
        raise ValueError(f"attention: {kind!r}; known are {', '.join(NAMES)}")
    from transformers import AttentionInterface, AttentionMaskInterface

    # transformers has FlexAttention but does not offer it for these families.
    flex, flex_mask = flex_attention()
    AttentionInterface.register(NAMES["flex"], flex)
    AttentionMaskInterface.register(NAMES["flex"], flex_mask)
    AttentionInterface.register(NAMES["tree"], tree_attention)
    AttentionMaskInterface.register(NAMES["tree"], sdpa_attention()[1])
    model.set_attn_implementation({"text_config": NAMES[kind]})


def default_tree_attention(device: torch.device) -> AttentionKind:
    """Return the fastest kind for a device that needs no compilation."""
    return "tree" if device.type == "cpu" else "dense"


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention within each tree only.

    A prefix attends to itself, causally; branches attend to their tree. Attention that a dense mask
    would hide (to other trees, and from a prefix to its branches) is not computed, and no square
    mask of the row is built.

    Args:
        module: Attention layer.
        query: (rows, heads, length, head size).
        key: (rows, heads, length, head size).
        value: (rows, heads, length, head size).
        attention_mask: Result of `segment_ids`, or a mask that SDPA takes.
        options: Further options of attention functions of transformers.

    Returns:
        (rows, length, heads, head size), and None in place of attention weights.
    """
    sdpa = sdpa_attention()[0]
    if attention_mask is None or attention_mask.dtype == torch.bool:
        plain: tuple[torch.Tensor, None] = sdpa(
            module, query, key, value, attention_mask, **options
        )
        return plain
    rows = []
    for r, (tree, branch) in enumerate(attention_mask[:, 0]):
        pieces = []
        for start, end in _runs(tree):
            prefix = start + int((branch[start:end] == 0).sum())
            blocks = [(start, prefix, None)]
            if prefix < end:
                own = branch[prefix:end, None] == branch[start:end]
                position = torch.arange(start, end, device=tree.device)
                allowed = (own | (branch[start:end] == 0)) & (
                    position[prefix - start :, None] >= position
                )
                blocks.append((prefix, end, allowed[None, None]))
            for first, last, mask in blocks:
                of_row = (slice(r, r + 1), slice(None))
                keys = (*of_row, slice(start, last))
                inputs = (module, query[(*of_row, slice(first, last))], key[keys], value[keys])
                pieces.append(sdpa(*inputs, mask, **options)[0])
        rows.append(torch.cat(pieces, 1))
    return torch.cat(rows), None


def _runs(ids: torch.Tensor) -> list[tuple[int, int]]:
    """Return the start and end of each run of equal ids."""
    ends = ids.unique_consecutive(return_counts=True)[1].cumsum(0).tolist()
    return list(zip([0, *ends], ends, strict=False))


NAMES: dict[AttentionKind, str] = {"dense": "sdpa", "tree": "rexkit_tree", "flex": "rexkit_flex"}
"""Names of these attention functions in transformers."""

MASKS = {NAMES["dense"]: dense_mask, NAMES["tree"]: segment_ids, NAMES["flex"]: block_mask}
