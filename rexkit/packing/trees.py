"""Token trees, their layout in packed rows, and values of their branches as padded tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Batch = dict[str, torch.Tensor]
"""A packed batch, as `build_rows` returns it."""


@dataclass(eq=False, slots=True)
class Tree:
    """A prefix of tokens and the branches that share it.

    Attributes:
        prefix: (P,) token ids, image tokens expanded; at least one, and the last one is text.
        token_types: (P,) ``mm_token_type_ids`` of the prefix: 0 text, 1 image.
        branches: (T,) token ids each, text only; a branch may be empty.
        context_lengths: Number of leading tokens of each branch that are not labels, such as those
            of a question; None for 0 in every branch.
        pixel_values: (patches, values) of the images in the prefix, as the processor returns them.
        image_grid_thw: (images, 3) sizes of those images in patches.
    """

    prefix: torch.Tensor
    token_types: torch.Tensor
    branches: Sequence[torch.Tensor]
    context_lengths: Sequence[int] | None = None
    pixel_values: torch.Tensor | None = None
    image_grid_thw: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.prefix) + sum(map(len, self.branches))


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Assign trees to rows: longest first, each to the first row with room.

    Args:
        lengths: Lengths of the trees, in tokens.
        max_length: Largest length of a row. A longer tree has a row of its own, since it cannot be
            cut.

    Returns:
        The indices of the trees, row by row.

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


def build_rows(trees: Sequence[Tree], rows: Sequence[Sequence[int]], pad_id: int = 0) -> Batch:
    """Lay trees out in packed rows.

    Branches are numbered through all trees in the order given, whatever row they lie in, and
    labels are in the order of the branches.

    Args:
        trees: Trees to lay out.
        rows: Indices of the trees, row by row, as `pack` returns them.
        pad_id: Token id of padding.

    Returns:
        ``lengths`` (branches,): number of labels of each branch. For the model: ``input_ids`` and
        ``mm_token_type_ids`` (rows, length), ``pixel_values`` and ``image_grid_thw`` in the order
        of the rows. For each token (rows, length): ``tree`` in the order of the rows, -1 for
        padding; ``branch``; ``step``. For each label (N,): ``labels``, its token id; ``row`` and
        ``column``, the position that predicts it; ``previous``, the token at that position;
        ``owner``, its branch; ``nth``, its index among the labels of that branch.

    Raises:
        ValueError: If a prefix is empty or ends in an image.
    """
    for number, tree in enumerate(trees):
        if not len(tree.prefix) or int(tree.token_types[-1]) != 0:
            raise ValueError(f"tree {number}: its prefix must end in a text token")
    length = max(sum(len(trees[i]) for i in row) for row in rows)
    # The first entry, since Trainer counts the examples of a batch by its first tensor.
    batch: Batch = {"lengths": torch.tensor([n - c for t in trees for n, c in _branches(t)])}
    shape = (len(rows), length)
    batch["input_ids"] = torch.full(shape, pad_id)
    batch["mm_token_type_ids"] = torch.zeros(shape, dtype=torch.long)
    batch |= {"tree": torch.full(shape, -1)}
    batch |= {key: torch.zeros(shape, dtype=torch.long) for key in ("branch", "step")}
    first_branch = torch.tensor([0, *(len(t.branches) for t in trees)]).cumsum(0).tolist()
    labels: dict[int, tuple[int, torch.Tensor, torch.Tensor]] = {}
    order: list[int] = []
    for r, row in enumerate(rows):
        end = 0
        for number in row:
            tree = trees[number]
            start, end = end, end + len(tree)
            pieces = [tree.prefix, *tree.branches]
            batch["input_ids"][r, start:end] = torch.cat(pieces)
            batch["mm_token_type_ids"][r, start : start + len(tree.prefix)] = tree.token_types
            batch["tree"][r, start:end] = len(order)
            order.append(number)
            sizes = torch.tensor([len(piece) for piece in pieces])
            batch["branch"][r, start:end] = torch.arange(len(pieces)).repeat_interleave(sizes)
            batch["step"][r, start:end] = torch.cat([torch.arange(n) for n in sizes.tolist()])
            prefix_end = at = start + len(tree.prefix)
            for b, (size, context) in enumerate(_branches(tree)):
                where = torch.arange(at + context - 1, at + size - 1)
                if context == 0 and size:
                    where[0] = prefix_end - 1
                labels[first_branch[number] + b] = (r, where, tree.branches[b][context:])
                at += size
    found = [labels[i] for i in range(len(labels))]
    batch["labels"] = _cat([label for _, _, label in found])
    batch["row"] = torch.tensor([r for r, _, _ in found]).repeat_interleave(batch["lengths"])
    batch["column"] = _cat([where for _, where, _ in found])
    batch["previous"] = batch["input_ids"][batch["row"], batch["column"]]
    batch["owner"] = torch.arange(len(found)).repeat_interleave(batch["lengths"])
    batch["nth"] = _cat([torch.arange(len(label)) for _, _, label in found])
    for key in ("pixel_values", "image_grid_thw"):
        images = [p for i in order if (p := getattr(trees[i], key)) is not None]
        if images:
            batch[key] = torch.cat(images)
    return batch


def unfold(values: torch.Tensor, batch: Mapping[str, Any], length: int) -> torch.Tensor:
    """Return values of labels as a padded table with a row for each branch.

    Args:
        values: (N,) values in the order of ``batch["labels"]``.
        batch: Batch of `build_rows`.
        length: Columns of the table, at least the number of labels of the longest branch.

    Returns:
        (branches, length), 0 where a branch has no more labels.
    """
    table = values.new_zeros(len(batch["lengths"]), length)
    return table.index_put((batch["owner"], batch["nth"]), values)


def _branches(tree: Tree) -> list[tuple[int, int]]:
    """Return the number of tokens and of context tokens of each branch."""
    contexts = tree.context_lengths or [0] * len(tree.branches)
    return [(len(b), min(c, len(b))) for b, c in zip(tree.branches, contexts, strict=True)]


def _cat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(parts)) if parts else torch.zeros(0, dtype=torch.long)
