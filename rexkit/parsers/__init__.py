"""Parsers: generated text to a `Prediction`."""

from rexkit.parsers.span import SpanParser

__all__ = ["SpanParser"]
