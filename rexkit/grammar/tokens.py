"""The special tokens of the answer grammar, defined here and nowhere else."""

from __future__ import annotations

from rexkit.grammar.bins import NUM_BINS

OBJECT_REF_START = "<|object_ref_start|>"
OBJECT_REF_END = "<|object_ref_end|>"
BOX_START = "<|box_start|>"
BOX_END = "<|box_end|>"
END_OF_TURN = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"

NONE = "None"
"""The geometry of a phrase that is not in the image."""
SPAN_SEPARATOR = ", "
ITEM_SEPARATOR = ","
INVISIBLE = "unvisible"
"""The spelling of an invisible keypoint in the training data of the released weights."""

COORD_TOKENS = tuple(f"<{i}>" for i in range(NUM_BINS))
BIN_OF = {token: number for number, token in enumerate(COORD_TOKENS)}
GRAMMAR_TOKENS = (OBJECT_REF_START, OBJECT_REF_END, BOX_START, BOX_END)
