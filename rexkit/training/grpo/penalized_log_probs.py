"""Log-probabilities of completions that were sampled with a repetition penalty."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rexkit.backends.repetition_penalty import penalize, tokens_in

CHUNK = 256
"""How many labels are computed at once: as many rows of the vocabulary in 32 bits are kept."""


def penalized_log_probs(
    logits: torch.Tensor,
    batch: Mapping[str, Any],
    prompts: Mapping[str, torch.Tensor],
    completion_ids: torch.Tensor,
    penalty: float,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities and entropies of labels, as they were sampled.

    Args:
        logits: (N, vocabulary) of the labels of a packed batch.
        batch: the packed batch, of `build_rows`.
        prompts: ``input_ids`` and ``attention_mask`` (branches, P) of the prompts.
        completion_ids: (branches, T).
        penalty: the repetition penalty, as in `rexkit.backends.repetition_penalty.penalize`.
        temperature: what penalised logits are divided by.

    Returns:
        (N,) and (N,).
    """
    compute = partial(
        _log_probs,
        completion_ids=completion_ids,
        prompt_tokens=tokens_in(prompts["input_ids"], prompts["attention_mask"], logits.shape[1]),
        penalty=penalty,
        temperature=temperature,
    )
    parts = [
        checkpoint(compute, *chunk, use_reentrant=False)
        for chunk in zip(
            logits.split(CHUNK),
            batch["labels"].split(CHUNK),
            batch["owner"].split(CHUNK),
            batch["nth"].split(CHUNK),
            strict=True,
        )
    ]
    log_probs, entropies = (torch.cat(values) for values in zip(*parts, strict=True))
    return log_probs, entropies


def _log_probs(
    logits: torch.Tensor,
    labels: torch.Tensor,
    owner: torch.Tensor,
    nth: torch.Tensor,
    *,
    completion_ids: torch.Tensor,
    prompt_tokens: torch.Tensor,
    penalty: float,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    steps = torch.arange(completion_ids.shape[1], device=nth.device)
    earlier = tokens_in(completion_ids[owner], steps < nth[:, None], logits.shape[1])
    penalized = penalize(logits.float(), earlier | prompt_tokens[owner], penalty)
    logs = (penalized / temperature).log_softmax(1)
    entropies = -(logs.exp() * logs).sum(1)
    return logs.gather(1, labels[:, None])[:, 0], entropies
