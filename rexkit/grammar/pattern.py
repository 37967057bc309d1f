"""A span that follows the grammar, as a regular expression."""

from __future__ import annotations

import re

from rexkit.grammar.tokens import (
    BOX_END,
    BOX_START,
    END_OF_TEXT,
    END_OF_TURN,
    ITEM_SEPARATOR,
    NONE,
    OBJECT_REF_END,
    OBJECT_REF_START,
    SPAN_SEPARATOR,
)

END = re.compile(f"{re.escape(END_OF_TURN)}|{re.escape(END_OF_TEXT)}")
"""Where an answer ends, if the text does not end first."""


def _span(space: str, separator: str) -> re.Pattern[str]:
    """A span with what separates it from the next, or with the end of the answer.

    Groups: the phrase; the geometry, if it is all boxes; the geometry otherwise, unless it is None;
    the token that ends the answer. Every repetition is of things that differ in their first
    character from what follows, so a failed match costs time linear in its length.
    """
    coord = f"<(?:0|[1-9][0-9]{{0,2}}+)>{space}"  # not \d, which knows the digits of every script
    box = 4 * coord
    item = f"(?:{coord}{coord})+"
    comma = f"{ITEM_SEPARATOR}{space}"
    start, ref_end, box_start, box_end = (
        re.escape(token) for token in (OBJECT_REF_START, OBJECT_REF_END, BOX_START, BOX_END)
    )
    return re.compile(
        rf"{start}{space}(?!\s|<\|)([^<]*(?:<(?!\|)[^<]*)*){ref_end}{space}{box_start}{space}"
        f"(?:({box}(?:{comma}{box})*)|({item}(?:{comma}{item})*)|{NONE}{space})"
        rf"{box_end}(?:{separator}(?={start})|\s*(?:({END.pattern})|\Z))"
    )


TIGHT = _span("", SPAN_SEPARATOR)
"""A span to the letter."""

LOOSE = _span("[ \t\r\n]*+", rf"\s*{ITEM_SEPARATOR}\s*")
"""A span with white space between any two tokens."""
