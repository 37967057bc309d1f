"""Coordinate tokens in a model's vocabulary: where they are, and how new ones start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from rexkit.grammar.bins import NUM_BINS
from rexkit.grammar.tokens import COORD_TOKENS, GRAMMAR_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def coordinate_ids(tokenizer: Any) -> list[int]:
    """Return the token ids of ``<0>`` … ``<999>``.

    Raises:
        ValueError: the tokenizer does not know one of them as a single token.
    """
    known = tokenizer.get_vocab()
    missing = [token for token in COORD_TOKENS if token not in known]
    if missing:
        raise ValueError(
            f"{len(missing)} of {NUM_BINS} coordinate tokens are missing from the tokenizer, "
            f"the first is {missing[0]}; add them with add_coordinate_tokens()"
        )
    return [known[token] for token in COORD_TOKENS]


def add_coordinate_tokens(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """Add the tokens of the grammar that a checkpoint lacks; a second call adds nothing.

    New coordinate rows start on a smooth curve, so that neighbouring bins start as neighbouring
    vectors; their mean and spread are those of the rows already there.

    Returns:
        The ids of the tokens that were added, in ascending order.
    """
    known = tokenizer.get_vocab()
    plain = [token for token in COORD_TOKENS if token not in known]
    special = [token for token in GRAMMAR_TOKENS if token not in known]
    if not plain and not special:
        return []
    trained_rows = len(tokenizer)
    tokenizer.add_tokens(special, special_tokens=True)
    tokenizer.add_tokens(plain)
    rows: Any = model.get_input_embeddings()
    if len(tokenizer) > rows.num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = torch.tensor([tokenizer.convert_tokens_to_ids(token) for token in plain])
    bins = torch.tensor([int(token[1:-1]) for token in plain])
    tables = {id(layer.weight): layer.weight for layer in _embedding_layers(model)}
    for weight in tables.values():
        start_smoothly(weight, new, bins, trained_rows)
    return sorted(tokenizer.convert_tokens_to_ids(token) for token in plain + special)


@torch.no_grad()
def start_smoothly(
    weight: torch.Tensor, rows: torch.Tensor, bins: torch.Tensor, trained_rows: int
) -> None:
    """Put the rows of coordinate tokens on a smooth curve around the mean of the trained rows."""
    trained = weight[:trained_rows].float()
    curve = smooth_curve(weight.shape[1])[bins].to(weight.device)
    weight[rows] = (trained.mean(0) + curve * trained.std()).to(weight.dtype)


def smooth_curve(width: int) -> torch.Tensor:
    """Return a (1000, width) curve of unit spread: sines and cosines of the bin.

    Wavelengths run from 40 bins to 4,000, so vectors a few bins apart almost agree and vectors far
    apart do not (the idea of the position encoding in "Attention Is All You Need", section 3.5).

    >>> curve = smooth_curve(64)
    >>> near, far = torch.cosine_similarity(curve[500], curve[[501, 900]])
    >>> bool(near > 0.98 > far + 0.3)
    True
    """
    half = -(-width // 2)
    wavelengths = torch.logspace(math.log10(40), math.log10(4000), half)
    angles = torch.arange(NUM_BINS)[:, None] * (2 * math.pi / wavelengths)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width] * math.sqrt(2)


def _embedding_layers(model: PreTrainedModel) -> list[Any]:
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    return [layer for layer in layers if layer is not None]
