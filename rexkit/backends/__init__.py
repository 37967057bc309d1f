"""Backends: who generates the answers."""

from rexkit.backends.base import Backend, Generation, Request
from rexkit.backends.openai import OpenAIBackend, ServerError
from rexkit.backends.scores import Confidence, confidences, with_scores
from rexkit.backends.transformers import TransformersBackend

__all__ = [
    "Backend",
    "Confidence",
    "Generation",
    "OpenAIBackend",
    "Request",
    "ServerError",
    "TransformersBackend",
    "confidences",
    "with_scores",
]
