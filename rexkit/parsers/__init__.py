"""Parsers: the text of an answer to a `Prediction`."""

from rexkit.parsers.span import SpanParser

__all__ = ["SpanParser"]
