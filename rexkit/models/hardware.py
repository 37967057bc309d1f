"""Default dtype and attention for the hardware."""

from __future__ import annotations

import torch

from rexkit._compat.transformers import is_flash_attn_2_available


def hardware_dtype() -> torch.dtype:
    """Return bfloat16 on GPUs that compute in it, else float32.

    Not float16 on older GPUs: activations of the Qwen families can leave its range.
    """
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float32


def hardware_attention(dtype: torch.dtype | None) -> str:
    """Return FlashAttention-2 if it is installed and supports GPU and dtype, else SDPA.

    Args:
        dtype: of the model; None if it is not known before it is loaded.
    """
    half = dtype in (torch.bfloat16, torch.float16)
    return "flash_attention_2" if half and is_flash_attn_2_available() else "sdpa"
