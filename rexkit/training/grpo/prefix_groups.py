"""Padded batches of prompts and completions to trees: rows with the same prompt share a trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rexkit.packing import Batch, Tree, pack, plant


def share_prompts(
    prompts: Mapping[str, torch.Tensor],
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    num_images: Sequence[int],
    max_row_tokens: int | None = None,
    pad_id: int = 0,
) -> tuple[Batch, torch.Tensor]:
    """A forest of a padded batch, as trainers of reinforcement learning hold it.

    Rows may come in any order: those with the same prompt and the same images find each other.

    Args:
        prompts: ``input_ids`` and ``attention_mask`` (B, P), padded on either side, and
            ``mm_token_type_ids`` (B, P); with images, ``pixel_values`` and ``image_grid_thw``
            of all rows one after another.
        completion_ids: (B, T), padded on the right.
        completion_mask: (B, T), 1 for tokens, then 0.
        num_images: (B,) images of each row's prompt.
        max_row_tokens: trees share a row of the forest up to this length; None is the longest
            tree's.
        pad_id: token id of padding.

    Returns:
        The batch, on the device of ``completion_ids``; and (B,) the branch that each row became:
        ``unfold(values, batch, T)[branch]`` are the values of predicted tokens in the rows' order.
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
    ids, kinds = prompts["input_ids"].cpu(), prompts["mm_token_type_ids"].cpu()
    for row, mask in enumerate(masks):
        found: dict[str, Any] = {"trunk": ids[row, mask], "kinds": kinds[row, mask]}
        if grids and num_images[row]:
            found |= {"pixel_values": patches[row], "image_grid_thw": grids[row]}
        alike = by_ids.setdefault(found["trunk"].numpy().tobytes(), [])
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
    batch = plant(trees, pack(tokens, max_row_tokens or max(tokens)), pad_id)
    order = torch.tensor([row for _, rows in groups for row in rows])
    return {key: value.to(device) for key, value in batch.items()}, order.argsort().to(device)


def _same_images(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    keys = ("image_grid_thw", "pixel_values")
    if any((key in one) != (key in other) for key in keys):
        return False
    return all(torch.equal(one[key], other[key]) for key in keys if key in one)
