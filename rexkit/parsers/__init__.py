"""Parsers: generated text to a `Prediction`."""

from rexkit.parsers.plain_text import PlainTextParser
from rexkit.parsers.span import SpanParser

__all__ = ["PlainTextParser", "SpanParser"]
