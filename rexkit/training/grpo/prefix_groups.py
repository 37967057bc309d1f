"""Padded batches of prompts and completions as packed rows that share equal prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rexkit.packing import Batch, Tree, build_rows, pack


def share_prompts(
    prompts: Mapping[str, torch.Tensor],
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    num_images: Sequence[int],
    max_row_tokens: int | None = None,
    pad_id: int = 0,
) -> tuple[Batch, torch.Tensor]:
    """Pack a padded batch, as trainers of reinforcement learning hold it.

    Rows may come in any order: those with equal prompts and images are found and share a prefix.

    Args:
        prompts: ``input_ids`` and ``attention_mask`` (B, P), padded on either side, and
            ``mm_token_type_ids`` (B, P); with images, ``pixel_values`` and ``image_grid_thw``
            of all rows one after another.
        completion_ids: (B, T) token ids, padded on the right.
        completion_mask: (B, T), 1 for tokens, then 0.
        num_images: (B,) number of images of each prompt.
        max_row_tokens: Largest length of a packed row, unless a tree is longer; None takes the
            length of the longest tree.
        pad_id: Token id of padding.

    Returns:
        The packed batch, on the device of ``completion_ids``; and (B,) the branch of each row:
        ``unfold(values, batch, T)[branch]`` are values of completion tokens in the order of rows.
    """
    device = completion_ids.device
    grids = torch.split(prompts["image_grid_thw"], list(num_images)) if any(num_images) else ()
    patches: Sequence[torch.Tensor] = ()
    if grids:
        sizes = [int(grid.prod(-1).sum()) for grid in grids]
        patches = torch.split(prompts["pixel_values"], sizes)
    groups: list[tuple[dict[str, Any], list[int]]] = []
    by_ids: dict[bytes, list[int]] = {}
    masks = prompts["attention_mask"].bool().cpu()
    ids, token_types = prompts["input_ids"].cpu(), prompts["mm_token_type_ids"].cpu()
    for row, mask in enumerate(masks):
        found: dict[str, Any] = {"prefix": ids[row, mask], "token_types": token_types[row, mask]}
        if grids and num_images[row]:
            found |= {"pixel_values": patches[row], "image_grid_thw": grids[row]}
        alike = by_ids.setdefault(found["prefix"].numpy().tobytes(), [])
        group = next((g for g in alike if _same_images(groups[g][0], found)), len(groups))
        if group == len(groups):
            groups.append((found, []))
            alike.append(group)
        groups[group][1].append(row)
    lengths = completion_mask.sum(1).tolist()
    completions = completion_ids.cpu()
    trees = [
        Tree(**found, branches=[completions[row, : lengths[row]] for row in rows])
        for found, rows in groups
    ]
    tokens = [len(tree) for tree in trees]
    batch = build_rows(trees, pack(tokens, max_row_tokens or max(tokens)), pad_id)
    order = torch.tensor([row for _, rows in groups for row in rows])
    return {key: value.to(device) for key, value in batch.items()}, order.argsort().to(device)


def _same_images(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("image_grid_thw", "pixel_values")
    if any((key in one) != (key in other) for key in keys):
        return False
    return all(torch.equal(one[key], other[key]) for key in keys if key in one)
