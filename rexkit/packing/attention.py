"""Who sees whom in a forest, and attentions that act on it."""

from __future__ import annotations

from typing import Any, Literal

import torch

Kind = Literal["tree", "dense", "flex"]


def dense_mask(tree: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """Who sees whom, for SDPA: (rows, 1, length, length), True where a query sees a key.

    Padding sees padding, since a query that sees nothing has no softmax.
    """
    place = torch.arange(tree.shape[1], device=tree.device)
    query, key = (slice(None), slice(None), None), (slice(None), None, slice(None))
    same_tree = tree[query] == tree[key]
    same_branch = (branch[key] == 0) | (branch[key] == branch[query])
    return (same_tree & same_branch & (place[:, None] >= place))[:, None]


def block_mask(tree: torch.Tensor, branch: torch.Tensor) -> Any:
    """The same for FlexAttention, which leaves out the blocks that nobody sees."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Any, head: Any, query: Any, key: Any) -> Any:
        same_branch = (branch[row, key] == 0) | (branch[row, key] == branch[row, query])
        return (tree[row, key] == tree[row, query]) & same_branch & (query >= key)

    rows, length = tree.shape
    return create_block_mask(sees, rows, None, length, length, device=tree.device)


def segments(tree: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """The same for `tree_attention`: (rows, 1, 2, length), each token's tree and branch.

    Of four dimensions, since transformers hands such a mask to the attention as it is.
    """
    return torch.stack([tree, branch], 1)[:, None]


def use_tree_attention(model: Any, kind: Kind) -> None:
    """Let the language model attend to forests; plain batches and generation work as before.

    The vision tower keeps its attention. A language model that came with FlashAttention-2, which
    cannot tell branches apart, uses it no longer, for plain batches neither.

    Args:
        model: of the Qwen2.5-VL or Qwen3-VL family.
        kind: "tree" computes tree by tree, half the work of a dense mask on CPUs; "dense" is SDPA
            with a square mask of each row; "flex" is FlexAttention, which skips on GPUs what nobody
            sees, and compiles itself first.

    Raises:
        ValueError: another kind.
    """
    if kind not in NAMES:
        raise ValueError(f"attention: {kind!r}; known are {', '.join(NAMES)}")
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.masking_utils import flex_attention_mask, sdpa_mask

    # transformers has FlexAttention but does not offer it for these families.
    AttentionInterface.register(NAMES["flex"], flex_attention_forward)
    AttentionMaskInterface.register(NAMES["flex"], flex_attention_mask)
    AttentionInterface.register(NAMES["tree"], tree_attention)
    AttentionMaskInterface.register(NAMES["tree"], sdpa_mask)
    model.set_attn_implementation({"text_config": NAMES[kind]})


def default_tree_attention(device: torch.device) -> Kind:
    """The kind that is best on a device and needs nothing more than torch."""
    return "tree" if device.type == "cpu" else "dense"


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention that computes only what is seen, tree by tree.

    A trunk sees itself, plainly causal; branches see their tree. What a dense mask would hide
    (other trees, and branches from the trunk) is not computed, nor is a square mask of the row.

    Args:
        module: the attention layer.
        query, key, value: (rows, heads, length, head size).
        attention_mask: of `segments`, or what SDPA takes.
        options: of transformers' attention functions.

    Returns:
        (rows, length, heads, head size), and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is None or attention_mask.dtype == torch.bool:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    rows = []
    for r, (tree, branch) in enumerate(attention_mask[:, 0]):
        pieces = []
        for start, end in _runs(tree):
            trunk = start + int((branch[start:end] == 0).sum())
            blocks = [(start, trunk, None)]
            if trunk < end:
                own = branch[trunk:end, None] == branch[start:end]
                place = torch.arange(start, end, device=tree.device)
                seen = (own | (branch[start:end] == 0)) & (place[trunk - start :, None] >= place)
                blocks.append((trunk, end, seen[None, None]))
            for first, last, mask in blocks:
                of_row = (slice(r, r + 1), slice(None))
                keys = (*of_row, slice(start, last))
                here = (module, query[(*of_row, slice(first, last))], key[keys], value[keys])
                pieces.append(sdpa_attention_forward(*here, mask, **options)[0])
        rows.append(torch.cat(pieces, 1))
    return torch.cat(rows), None


def _runs(ids: torch.Tensor) -> list[tuple[int, int]]:
    """Where each run of equal numbers starts and ends."""
    ends = ids.unique_consecutive(return_counts=True)[1].cumsum(0).tolist()
    return list(zip([0, *ends], ends, strict=False))


NAMES: dict[Kind, str] = {"dense": "sdpa", "tree": "forest_tree", "flex": "forest_flex"}
"""What transformers calls these attentions."""

MASKS = {NAMES["dense"]: dense_mask, NAMES["tree"]: segments, NAMES["flex"]: block_mask}
