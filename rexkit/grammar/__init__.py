"""The answer grammar: the text format shared by training, decoding, parsing and scoring."""

from rexkit.grammar.bins import LAST_BIN, NUM_BINS, to_bins, to_pixels
from rexkit.grammar.forms import AnswerForm, KeypointForm, SpanForm
from rexkit.grammar.json_reader import read_references
from rexkit.grammar.problems import PROBLEM_KINDS
from rexkit.grammar.reader import read
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
from rexkit.grammar.writer import (
    Geometry,
    Transcription,
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
    "read",
    "read_references",
    "to_bins",
    "to_pixels",
    "write",
    "write_keypoints",
    "write_references",
]
