"""Trees of tokens, laid out in rows and folded back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Batch = dict[str, torch.Tensor]
"""What `plant` gives."""


@dataclass(eq=False, slots=True)
class Tree:
    """A trunk of tokens that branches share.

    Attributes:
        trunk: (P,) token ids, images expanded; at least one token, and the last is text.
        kinds: (P,) ``mm_token_type_ids`` of the trunk: 0 text, 1 image.
        branches: (T,) token ids each, text only; may be empty.
        given: how many leading tokens of each branch are not predicted, such as those of a
            question; left out, none.
        pixel_values: (patches, values) of the trunk's images, as the processor gives them.
        image_grid_thw: (images, 3) their sizes in patches.
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
        ValueError: a trunk is empty or ends in an image.
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
        images = [p for i in order if (p := getattr(trees[i], key)) is not None]
        if images:
            batch[key] = torch.cat(images)
    return batch


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
