"""Undocumented names of accelerate."""

from __future__ import annotations

from accelerate.utils import is_peft_model

__all__ = ["FSDP_SHARDS", "is_peft_model"]

FSDP_SHARDS = "pytorch_model_fsdp_0"
"""Folder in a checkpoint that holds the FSDP shards of the model."""
