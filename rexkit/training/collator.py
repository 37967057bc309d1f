"""Examples to batches: padded, or packed into rows of trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import torch

from rexkit.models.encoder import IGNORE_INDEX
from rexkit.packing import Tree, pack, plant
from rexkit.structures import Example

if TYPE_CHECKING:
    from rexkit.examples import Item
    from rexkit.models.encoder import Encoder


class Collator:
    """Makes a training batch of examples; it holds no model, so data workers can carry it.

    Args:
        encoder: of the model.
        max_row_tokens: pack the batch into rows of at most this many tokens; None pads it.
    """

    def __init__(self, encoder: Encoder, max_row_tokens: int | None = None):
        self.encoder = encoder
        self.max_row_tokens = max_row_tokens

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        groups = [item if isinstance(item, list) else [item] for item in items]
        if self.max_row_tokens is None:
            return self.encoder.examples([example for group in groups for example in group])
        trees = [self.tree(group) for group in groups]
        rows = pack([len(tree) for tree in trees], self.max_row_tokens)
        batch = plant(trees, rows, self.encoder.tokenizer.pad_token_id)
        # Trainer counts the labels of this name as they are, and shifts those of the other first.
        return {**batch, "shift_labels": batch["labels"]}

    def tree(self, examples: Sequence[Example]) -> Tree:
        """The examples of one image: a trunk of what all prompts start with, and branches.

        A single example's trunk is its whole prompt. Of several, it ends where their words part,
        after the image; the rest of each prompt is given to its branch and not learned.

        Raises:
            ValueError: an example is longer than the encoder's ``max_length``.
        """
        prompts, encoded = self.encoder.on_one_image(examples)
        answers = self.encoder.answers(examples)
        for example, prompt, answer in zip(examples, prompts, answers, strict=True):
            self.encoder.check_length(example, prompt, answer)
        alike = takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
        shared = sum(1 for _ in alike)
        return Tree(
            trunk=torch.tensor(prompts[0][:shared]),
            kinds=torch.as_tensor(encoded["mm_token_type_ids"][0][:shared]),
            branches=[
                torch.tensor(prompt[shared:] + answer)
                for prompt, answer in zip(prompts, answers, strict=True)
            ],
            given=[len(prompt) - shared for prompt in prompts],
            pixel_values=torch.as_tensor(encoded["pixel_values"]),
            image_grid_thw=torch.as_tensor(encoded["image_grid_thw"]),
        )


class Predicted(NamedTuple):
    """The tokens that a batch learns, in one order.

    Attributes:
        row, at: (N,) where each is predicted.
        labels: (N,) their ids.
        previous: (N,) the tokens before them.
    """

    row: torch.Tensor
    at: torch.Tensor
    labels: torch.Tensor
    previous: torch.Tensor


def predicted(batch: Mapping[str, torch.Tensor]) -> Predicted:
    """The tokens that a batch of `Collator` learns, padded or packed."""
    if "tree" in batch:
        return Predicted(batch["row"], batch["at"], batch["labels"], batch["previous"])
    row, at = (batch["labels"][:, 1:] != IGNORE_INDEX).nonzero(as_tuple=True)
    return Predicted(row, at, batch["labels"][row, at + 1], batch["input_ids"][row, at])
