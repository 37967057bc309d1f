"""Collation of examples into padded batches or packed rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import torch

from rexkit.models.processors import VISION_END, VISION_START
from rexkit.packing import Tree, build_rows, pack
from rexkit.structures import Example

if TYPE_CHECKING:
    from rexkit.examples import Item
    from rexkit.models.encoder import Encoder


class Collator:
    """Collates examples into a training batch; it holds no model, so data workers can carry it.

    Args:
        encoder: Encoder of the model.
        max_row_tokens: Pack the batch into rows of at most this many tokens; None pads it.
    """

    def __init__(self, encoder: Encoder, max_row_tokens: int | None = None):
        self.encoder = encoder
        self.max_row_tokens = max_row_tokens

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Return the batch of some items, as the model and the loss take it."""
        groups = [item if isinstance(item, list) else [item] for item in items]
        if self.max_row_tokens is None:
            return self.encoder.examples([example for group in groups for example in group])
        trees = [self.tree(group) for group in groups]
        if all(tree.pixel_values is None for tree in trees):
            trees.append(self._blank_tree())
        rows = pack([len(tree) for tree in trees], self.max_row_tokens)
        batch = build_rows(trees, rows, self.encoder.tokenizer.pad_token_id)
        # Trainer counts ``shift_labels`` as they are, and shifts ``labels`` first.
        return {**batch, "shift_labels": batch["labels"]}

    def tree(self, examples: Sequence[Example]) -> Tree:
        """Build the tree of the examples of one image.

        The prefix of a single example is its whole prompt. That of several ends where their prompts
        diverge, after the image; the rest of each prompt is context of its branch, not a label.

        Args:
            examples: Examples that share their image.

        Raises:
            DataError: as in `Encoder.check`.
        """
        prompts, encoded = self.encoder.on_one_image(examples)
        responses = self.encoder.responses(examples)
        for example, prompt, response in zip(examples, prompts, responses, strict=True):
            self.encoder.check_length(example.source, len(prompt), len(response))
        equal = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
        shared = sum(1 for _ in equal)
        return Tree(
            prefix=torch.tensor(prompts[0][:shared]),
            token_types=torch.as_tensor(encoded["mm_token_type_ids"][0][:shared]),
            branches=[
                torch.tensor(prompt[shared:] + response)
                for prompt, response in zip(prompts, responses, strict=True)
            ],
            context_lengths=[len(prompt) - shared for prompt in prompts],
            pixel_values=encoded.get("pixel_values"),
            image_grid_thw=encoded.get("image_grid_thw"),
        )

    def _blank_tree(self) -> Tree:
        """Build a tree of one blank cell without labels, as `Encoder.examples` has one."""
        tokenizer, image = self.encoder.tokenizer, self.encoder.processor.image_token_id
        start, end = tokenizer.convert_tokens_to_ids([VISION_START, VISION_END])
        cell = self.encoder.blank_cell()
        return Tree(
            prefix=torch.tensor([start, image, end]),
            token_types=torch.tensor([0, 1, 0]),
            branches=[],
            pixel_values=cell["pixel_values"],
            image_grid_thw=cell["image_grid_thw"],
        )
