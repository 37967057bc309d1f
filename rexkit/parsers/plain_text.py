"""The parser of answers in free text."""

from __future__ import annotations

from rexkit.registry import PARSERS
from rexkit.structures import ImageSize, Prediction


@PARSERS.register_module()
class PlainTextParser:
    """Keep a text as it is, without instances.

    >>> PlainTextParser()("Two cups.", (640, 480)).text
    'Two cups.'
    """

    def __call__(self, text: str, image_size: ImageSize) -> Prediction:
        """Return a prediction with the text alone."""
        return Prediction(image_size, text=text)
