"""Backends: generation by transformers, vLLM or a server."""

from rexkit.backends.backend import Backend, Generation, ModelSource, Request, model_source
from rexkit.backends.http_client import ServerError
from rexkit.backends.openai_backend import OpenAIBackend
from rexkit.backends.sampling import SamplingParams
from rexkit.backends.scores import Confidence, confidences, with_scores
from rexkit.backends.transformers_backend import TransformersBackend
from rexkit.backends.vllm_backend import VLLMBackend

__all__ = [
    "Backend",
    "Confidence",
    "Generation",
    "ModelSource",
    "OpenAIBackend",
    "Request",
    "SamplingParams",
    "ServerError",
    "TransformersBackend",
    "VLLMBackend",
    "confidences",
    "model_source",
    "with_scores",
]
