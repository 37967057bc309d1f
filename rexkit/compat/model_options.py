"""Arguments of the public wrapper's constructor, as `rexkit.Predictor` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

END_OF_TURN_STOP = "<|im_end|>"
"""The stop text that the public wrapper sets; every backend ends there without it."""

_TRANSFORMERS = ("attn_implementation", "device_map")
_VLLM = ("tokenizer_mode", "max_model_len", "gpu_memory_utilization", "tensor_parallel_size")
_VLLM_DEFAULTS = {"max_model_len": 4096, "gpu_memory_utilization": 0.8}

_WITHOUT_EFFECT = {
    "trust_remote_code": "rexkit runs no code of a checkpoint",
    "limit_mm_per_prompt": "every prompt has one image",
    "use_fast": "transformers chooses the tokenizer",
    "low_cpu_mem_usage": "transformers does so anyway",
}


def sampling_options(
    max_tokens: int, temperature: float, top_p: float, top_k: int, repetition_penalty: float
) -> dict[str, Any]:
    """Return the sampling parameters, by rexkit's names.

    >>> sampling_options(2048, 0.0, 0.05, -1, 1.05)["top_k"]
    0
    """
    return {
        "max_new_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": max(0, top_k),  # -1 is all tokens for vLLM, 0 is for transformers and here
        "repetition_penalty": repetition_penalty,
    }


def split_options(
    backend: str, given: Mapping[str, Any], quantization: str | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a backend and its model, and what is ignored, with the reason.

    Args:
        backend: "transformers", "vllm" or another of BACKENDS, in lower case.
        given: keyword arguments of the constructor.
        quantization: as the public wrapper takes it, for vLLM only.
    """
    options: dict[str, Any] = dict(_VLLM_DEFAULTS) if backend == "vllm" else {}
    ignored = []
    if quantization is not None:
        given = {**given, "quantization": quantization}
    for name, value in given.items():
        if name in _WITHOUT_EFFECT:
            ignored.append(f"{name} ({_WITHOUT_EFFECT[name]})")
        elif name in (*_VLLM, "quantization") and backend == "transformers":
            ignored.append(f"{name} (for the backend vllm only)")
        elif name in _TRANSFORMERS and backend == "vllm":
            ignored.append(f"{name} (for the backend transformers only)")
        elif name in ("torch_dtype", "dtype"):
            if value is not None:
                options["dtype"] = str(value).removeprefix("torch.")
        else:
            options[name] = value
    return options, ignored
