"""The parser of the answer grammar."""

from __future__ import annotations

from rexkit.grammar import Transcription, read
from rexkit.registry import PARSERS
from rexkit.structures import ImageSize, Prediction


@PARSERS.register_module()
class SpanParser:
    """Parse spans and keypoint JSON, as `rexkit.grammar.read` does.

    Args:
        transcription: where an OCR response has its texts; see `rexkit.grammar.read`.

    >>> parse = SpanParser()
    >>> text = "<|object_ref_start|>cup<|object_ref_end|><|box_start|>None<|box_end|>"
    >>> parse(text, (640, 480)).absent
    ['cup']
    """

    def __init__(self, transcription: Transcription | None = None):
        self.transcription = transcription

    def __call__(self, text: str, image_size: ImageSize) -> Prediction:
        """Return what a text says, in pixels of an image of this size."""
        return read(text, image_size, transcription=self.transcription)
