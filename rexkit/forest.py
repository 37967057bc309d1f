"""Forests: rows of token trees, so that what sequences share is computed once.

A tree is a trunk (system prompt, picture, question) and branches (answers). A branch sees its trunk
and itself, and its M-RoPE positions go on where the trunk's end; several trees may share a row.
Packing is trees with one branch, several tasks on one picture are a trunk that ends after the
picture, and a GRPO group is a prompt with its completions.

`pack` says which trees share a row, `plant` lays them out, `grow` gives the model its positions and
its mask. From three numbers of each token everything follows: its ``tree``, its ``branch`` (0 is
the trunk) and its ``step`` within that trunk or branch. Log-probabilities, losses and gradients are
those of the plain padded batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from rexkit.models.log_probs import log_probs

Batch = dict[str, torch.Tensor]
RopeIndex = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""``get_rope_index`` of the inner model (`Qwen2_5_VLModel`, `Qwen3VLModel`)."""

MODEL_KEYS = ("input_ids", "mm_token_type_ids", "pixel_values", "image_grid_thw")


@dataclass(eq=False, slots=True)
class Tree:
    """A trunk of tokens that branches share.

    Attributes:
        trunk: (P,) token ids, pictures expanded; at least one token, and the last is text.
        kinds: (P,) ``mm_token_type_ids`` of the trunk: 0 text, 1 picture.
        branches: (T,) token ids each, text only; may be empty.
        given: how many leading tokens of each branch are not predicted, such as those of a
            question; left out, none.
        pixel_values: (patches, values) of the trunk's pictures, as the processor gives them.
        image_grid_thw: (pictures, 3) their sizes in patches.
    """

    trunk: torch.Tensor
    kinds: torch.Tensor
    branches: Sequence[torch.Tensor]
    given: Sequence[int] | None = None
    pixel_values: torch.Tensor | None = None
    image_grid_thw: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.trunk) + sum(map(len, self.branches))


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Which trees share a row: longest first, each into the first row with room.

    Args:
        lengths: of the trees, in tokens.
        max_length: of a row. A longer tree has a row of its own, since it cannot be cut.

    Returns:
        The numbers of the trees, row by row.

    >>> pack([3, 7, 5, 2], 10)
    [[1, 0], [2, 3]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for tree in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, left in enumerate(room) if lengths[tree] <= left), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(max_length)
        rows[row].append(tree)
        room[row] -= lengths[tree]
    return rows


def plant(trees: Sequence[Tree], rows: Sequence[Sequence[int]], pad_id: int = 0) -> Batch:
    """Lay trees out in rows.

    Branches are numbered through all trees in the order given, whatever row they lie in, and
    predictions are in the order of the branches.

    Args:
        trees: what to lay out.
        rows: their numbers row by row, as `pack` gives them.
        pad_id: token id of padding.

    Returns:
        ``lengths`` (branches,): predicted tokens of each branch. For the model: ``input_ids`` and
        ``mm_token_type_ids`` (rows, length), ``pixel_values`` and ``image_grid_thw`` in the order
        of the rows. Of each token (rows, length): ``tree`` in the order of the rows, -1 for
        padding; ``branch``; ``step``. Of each predicted token (N,): ``labels``, its id; ``row``
        and ``at``, where it is predicted; ``previous``, the token there; ``owner``, its branch;
        ``nth``, its place among that branch's predicted tokens.

    Raises:
        ValueError: a trunk is empty or ends in a picture.
    """
    for number, tree in enumerate(trees):
        if not len(tree.trunk) or int(tree.kinds[-1]) != 0:
            raise ValueError(f"tree {number}: its trunk must end in a token of text")
    length = max(sum(len(trees[i]) for i in row) for row in rows)
    # Its place is first, since Trainer takes the first tensor of a batch to count its examples.
    batch: Batch = {"lengths": torch.tensor([n - g for t in trees for n, g in _branches(t)])}
    shape = (len(rows), length)
    batch["input_ids"] = torch.full(shape, pad_id)
    batch["mm_token_type_ids"] = torch.zeros(shape, dtype=torch.long)
    batch |= {"tree": torch.full(shape, -1)}
    batch |= {key: torch.zeros(shape, dtype=torch.long) for key in ("branch", "step")}
    first_branch = torch.tensor([0, *(len(t.branches) for t in trees)]).cumsum(0).tolist()
    predictions: dict[int, tuple[int, torch.Tensor, torch.Tensor]] = {}
    order: list[int] = []
    for r, row in enumerate(rows):
        end = 0
        for number in row:
            tree = trees[number]
            start, end = end, end + len(tree)
            pieces = [tree.trunk, *tree.branches]
            batch["input_ids"][r, start:end] = torch.cat(pieces)
            batch["mm_token_type_ids"][r, start : start + len(tree.trunk)] = tree.kinds
            batch["tree"][r, start:end] = len(order)
            order.append(number)
            sizes = torch.tensor([len(piece) for piece in pieces])
            batch["branch"][r, start:end] = torch.arange(len(pieces)).repeat_interleave(sizes)
            batch["step"][r, start:end] = torch.cat([torch.arange(n) for n in sizes.tolist()])
            trunk_end = at = start + len(tree.trunk)
            for b, (size, given) in enumerate(_branches(tree)):
                where = torch.arange(at + given - 1, at + size - 1)
                if given == 0 and size:
                    where[0] = trunk_end - 1
                predictions[first_branch[number] + b] = (r, where, tree.branches[b][given:])
                at += size
    found = [predictions[i] for i in range(len(predictions))]
    batch["labels"] = _cat([label for _, _, label in found])
    batch["row"] = torch.tensor([r for r, _, _ in found]).repeat_interleave(batch["lengths"])
    batch["at"] = _cat([where for _, where, _ in found])
    batch["previous"] = batch["input_ids"][batch["row"], batch["at"]]
    batch["owner"] = torch.arange(len(found)).repeat_interleave(batch["lengths"])
    batch["nth"] = _cat([torch.arange(len(label)) for _, _, label in found])
    for key in ("pixel_values", "image_grid_thw"):
        pictures = [p for i in order if (p := getattr(trees[i], key)) is not None]
        if pictures:
            batch[key] = torch.cat(pictures)
    return batch


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
            f"attention {attention!r} cannot tell branches apart; load the model with "
            "attn_implementation='sdpa', or call rexkit.forest.use_flex_attention(model)"
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


FLEX = "forest_flex"
"""What transformers calls FlexAttention once `use_flex_attention` has told it."""

MASKS = {"sdpa": dense_mask, FLEX: block_mask}


def use_flex_attention(model: Any) -> None:
    """Let the language model use FlexAttention: for GPUs, where it skips what nobody sees.

    transformers has the function but does not offer it for these families, so it is registered
    under a name of its own. The vision tower keeps its attention, and generation works as before.

    Args:
        model: of the Qwen2.5-VL or Qwen3-VL family.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.masking_utils import flex_attention_mask

    AttentionInterface.register(FLEX, flex_attention_forward)
    AttentionMaskInterface.register(FLEX, flex_attention_mask)
    model.set_attn_implementation({"text_config": FLEX})


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


def branch_log_probs(
    model: Any, batch: Mapping[str, Any], temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """How likely a model finds each predicted token, given its trunk and its branch.

    Args:
        model: of the Qwen2.5-VL or Qwen3-VL family, such as ``vlm.model``.
        batch: of `plant`, on the model's device.
        temperature: what logits are divided by.

    Returns:
        (N,) log-probabilities and (N,) entropies, in the order of ``batch["labels"]``; `unfold`
        gives them a row for each branch.
    """
    inner, head = model.base_model, model.get_output_embeddings()
    hidden = inner(**grow(batch, inner)).last_hidden_state[batch["row"], batch["at"]]
    return log_probs(hidden, head, batch["labels"], temperature=temperature)


def unfold(values: torch.Tensor, batch: Mapping[str, Any], length: int) -> torch.Tensor:
    """Values of predicted tokens as a padded table, a row for each branch.

    Args:
        values: (N,).
        batch: of `plant`.
        length: columns of the table, at least the longest branch's.

    Returns:
        (branches, length), 0 where a branch has no more tokens.
    """
    table = values.new_zeros(len(batch["lengths"]), length)
    return table.index_put((batch["owner"], batch["nth"]), values)


def _branches(tree: Tree) -> list[tuple[int, int]]:
    """Of each branch, how many tokens it has and how many of them are given."""
    given = tree.given if tree.given is not None else [0] * len(tree.branches)
    return [(len(b), min(g, len(b))) for b, g in zip(tree.branches, given, strict=True)]


def _cat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0, dtype=torch.long)
