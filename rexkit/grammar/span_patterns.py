"""Regular expressions of spans that follow the grammar."""

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
"""The end of a completion, unless the text ends before."""


def _span(space: str, separator: str) -> re.Pattern[str]:
    """Compile the pattern of a span up to the separator after it or the end of the text.

    Groups: the phrase; the geometry, if it is all boxes; the geometry otherwise, unless it is None;
    the token that ends the completion. Each repeated part differs in its first character from what
    follows it, so a failed match takes time linear in its length.
    """
    coord = f"<(?:0|[1-9][0-9]{{0,2}}+)>{space}"  # not \d, which matches digits of every script
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


EXACT_SPAN = _span("", SPAN_SEPARATOR)
"""A span exactly as `rexkit.grammar.write` writes it."""

SPACED_SPAN = _span("[ \t\r\n]*+", rf"\s*{ITEM_SEPARATOR}\s*")
"""A span with white space allowed between any two tokens."""
