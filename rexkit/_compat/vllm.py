"""Private and undocumented names of vLLM; importing this module does not import vLLM."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SERVER_MODULE = "vllm.entrypoints.cli.main"
"""Module that ``python -m`` runs to serve a model."""


def choose_runner() -> None:
    """Have vLLM use its V1 model runner, which calls logits processors, unless one was chosen."""
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")


def logits_processors() -> Any:
    """Return the module with ``LogitsProcessor``, ``BatchUpdate`` and ``MoveDirectionality``."""
    from vllm.v1.sample import logits_processor

    return logits_processor


def max_batch_size(engine: Any) -> int:
    """Return the largest number of requests that a `vllm.LLM` computes at once."""
    number: int = engine.llm_engine.vllm_config.scheduler_config.max_num_seqs
    return number


def context_length(engine: Any) -> int:
    """Return the largest number of tokens of a sequence of a `vllm.LLM`."""
    number: int = engine.llm_engine.vllm_config.model_config.max_model_len
    return number


def reset_caches(engine: Any) -> None:
    """Drop images and prompts that a `vllm.LLM` computed with weights it no longer has."""
    engine.llm_engine.reset_encoder_cache()
    engine.reset_prefix_cache()


def tokenizer_path(vllm_config: Any) -> str:
    """Return the path of the tokenizer from the config that a logits processor gets."""
    path: str = vllm_config.model_config.tokenizer
    return path


def repack_embeddings(model: torch.nn.Module) -> None:
    """Repeat what is done to embeddings after loading.

    The engine for CPUs multiplies by a packed copy of a tied output layer, which reloading weights
    leaves as it was.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    for module in model.modules():
        if isinstance(module, VocabParallelEmbedding):
            module.quant_method.process_weights_after_loading(module)
