"""Backends: who generates the answers."""

from rexkit.backends.base import Backend, Generation, Request
from rexkit.backends.transformers import TransformersBackend

__all__ = ["Backend", "Generation", "Request", "TransformersBackend"]
