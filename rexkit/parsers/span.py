"""The parser of the answer grammar."""

from __future__ import annotations

from rexkit.grammar import Transcription, read
from rexkit.registry import PARSERS
from rexkit.structures import ImageSize, Prediction


@PARSERS.register_module()
class SpanParser:
    """Reads spans and keypoint JSON, as `rexkit.grammar.read` does.

    Args:
        transcription: where an OCR answer has its texts; see `rexkit.grammar.read`.

    >>> parse = SpanParser()
    >>> answer = "<|object_ref_start|>cup<|object_ref_end|><|box_start|>None<|box_end|>"
    >>> parse(answer, (640, 480)).absent
    ['cup']
    """

    def __init__(self, transcription: Transcription | None = None):
        self.transcription = transcription

    def __call__(self, text: str, image_size: ImageSize) -> Prediction:
        return read(text, image_size, transcription=self.transcription)
