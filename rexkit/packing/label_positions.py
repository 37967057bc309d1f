"""Positions at which labels are predicted, and logits computed there only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from rexkit.models.encoder import IGNORE_INDEX


class LabelPositions(NamedTuple):
    """The labels of a batch in one order, and where each is predicted.

    Attributes:
        row: (N,) Row of the position that predicts each label.
        column: (N,) Column of that position.
        labels: (N,) Token ids to predict.
        previous: (N,) Token ids at those positions, which precede the labels.
    """

    row: torch.Tensor
    column: torch.Tensor
    labels: torch.Tensor
    previous: torch.Tensor


def label_positions(batch: Mapping[str, torch.Tensor]) -> LabelPositions:
    """Return the label positions of a training batch.

    Args:
        batch: A packed batch of `build_rows`, or a padded one with ``input_ids`` and ``labels``
            (rows, length), where -100 marks positions without a label.
    """
    if "tree" in batch:
        return LabelPositions(batch["row"], batch["column"], batch["labels"], batch["previous"])
    row, column = (batch["labels"][:, 1:] != IGNORE_INDEX).nonzero(as_tuple=True)
    return LabelPositions(
        row, column, batch["labels"][row, column + 1], batch["input_ids"][row, column]
    )


@contextmanager
def logits_at_labels(inner: torch.nn.Module, positions: LabelPositions) -> Iterator[None]:
    """Compute the logits of a model at label positions only.

    In this context ``last_hidden_state`` of the inner model is (1, N, width), in the order of the
    labels, and so the logits of the whole model are (1, N, vocabulary). Wrappers (DDP, DeepSpeed,
    FSDP, PEFT) do not matter, since the output of the module inside them changes.

    Args:
        inner: Model without its output layer, such as `Qwen3VLModel`.
        positions: Label positions, on the device of the model.
    """

    def select(module: Any, inputs: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden[positions.row, positions.column][None]
        return output

    hook = inner.register_forward_hook(select)
    try:
        yield
    finally:
        hook.remove()
