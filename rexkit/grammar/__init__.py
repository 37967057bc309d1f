"""The answer grammar: the sentence of text that training, decoding, reading and scoring share."""

from rexkit.grammar.bins import LAST_BIN, NUM_BINS, to_bins, to_pixels
from rexkit.grammar.forms import AnswerForm, KeypointForm, SpanForm
from rexkit.grammar.problems import PROBLEM_KINDS
from rexkit.grammar.read import read
from rexkit.grammar.read_json import read_references
from rexkit.grammar.tokens import (
    BOX_END,
    BOX_START,
    COORD_TOKENS,
    END_OF_TEXT,
    END_OF_TURN,
    GRAMMAR_TOKENS,
    INVISIBLE,
    NONE,
    OBJECT_REF_END,
    OBJECT_REF_START,
)
from rexkit.grammar.write import (
    Geometry,
    Transcription,
    legal_phrase,
    write,
    write_keypoints,
    write_references,
)

__all__ = [
    "BOX_END",
    "BOX_START",
    "COORD_TOKENS",
    "END_OF_TEXT",
    "END_OF_TURN",
    "GRAMMAR_TOKENS",
    "INVISIBLE",
    "LAST_BIN",
    "NONE",
    "NUM_BINS",
    "OBJECT_REF_END",
    "OBJECT_REF_START",
    "PROBLEM_KINDS",
    "AnswerForm",
    "Geometry",
    "KeypointForm",
    "SpanForm",
    "Transcription",
    "legal_phrase",
    "read",
    "read_references",
    "to_bins",
    "to_pixels",
    "write",
    "write_keypoints",
    "write_references",
]
