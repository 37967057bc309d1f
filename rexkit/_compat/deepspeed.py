"""Private names of DeepSpeed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def is_zero3_shard(parameter: torch.Tensor) -> bool:
    """Return whether ZeRO-3 keeps a parameter in shards."""
    return hasattr(parameter, "ds_id")


def gathered(parameters: Sequence[torch.Tensor]) -> AbstractContextManager[Any]:
    """Gather parameters that ZeRO-3 keeps in shards, for as long as the context lasts."""
    if not is_zero3_shard(parameters[0]):
        return nullcontext()
    import deepspeed

    found: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(parameters)
    return found
