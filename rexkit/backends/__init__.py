"""Backends: who generates the answers."""

from rexkit.backends.base import Backend, Generation, Request
from rexkit.backends.http import ServerError
from rexkit.backends.openai import OpenAIBackend
from rexkit.backends.scores import Confidence, confidences, with_scores
from rexkit.backends.transformers import TransformersBackend
from rexkit.backends.vllm import VLLMBackend

__all__ = [
    "Backend",
    "Confidence",
    "Generation",
    "OpenAIBackend",
    "Request",
    "ServerError",
    "TransformersBackend",
    "VLLMBackend",
    "confidences",
    "with_scores",
]
