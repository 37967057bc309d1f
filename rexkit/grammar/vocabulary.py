"""The vocabulary of a tokenizer by role: coordinates, markup, and tokens of free text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rexkit.grammar.tokens import (
    BOX_END,
    BOX_START,
    COORD_TOKENS,
    ITEM_SEPARATOR,
    NONE,
    OBJECT_REF_END,
    OBJECT_REF_START,
    SPAN_SEPARATOR,
)

TextClass = int
"""The class of tokens that may come next in a free text: a row of `Vocabulary.text`, or NO_TEXT.
The rows for text between coordinates come INLINE rows later."""
NO_TEXT, TEXT_START, TEXT_VISIBLE, TEXT, TEXT_AFTER_LESS = range(5)
INLINE = 4


class Choice(NamedTuple):
    """The tokens allowed next: a range of bins, tokens by id, and a class of text tokens.

    Attributes:
        low: the first bin.
        high: one past the last bin; no bin is allowed where it is not above ``low``.
        tokens: single tokens, by id.
        text: the class of text tokens.
    """

    low: int = 0
    high: int = 0
    tokens: tuple[int, ...] = ()
    text: TextClass = NO_TEXT


_MARKUP = re.compile(rb"<\|")
_MARKUP_INLINE = re.compile(rb"<[|0-9]")


class Vocabulary:
    """Token ids by their role in the answer grammar.

    Args:
        tokens: the spelling and id of every token.
        encode: a function from text to token ids that adds no special tokens.
        end: the id of the token that ends a completion.
        added: ids of tokens outside the base vocabulary (markup, coordinates).

    Attributes:
        coordinates: (1000,) the token ids of the bins.
        bin_of: the bin of each coordinate token's id.
        size: one more than the largest token id.

    Raises:
        ValueError: coordinate or markup tokens of the grammar are missing.
    """

    def __init__(
        self,
        tokens: Mapping[str, int],
        encode: Callable[[str], list[int]],
        end: int,
        added: Collection[int],
    ):
        needed = (*COORD_TOKENS, BOX_START, BOX_END, OBJECT_REF_START, OBJECT_REF_END)
        if missing := [token for token in needed if token not in tokens]:
            raise ValueError(
                f"the tokenizer lacks {len(missing)} tokens of the answer grammar, the first is "
                f"{missing[0]}; add them with rexkit.models.add_coordinate_tokens"
            )
        self._tokens = tokens
        self._encode = encode
        self._encoded: dict[str, tuple[int, ...]] = {}
        self.end = end
        self.coordinates: NDArray[np.int64] = np.array([tokens[t] for t in COORD_TOKENS])
        self.bin_of = {token: number for number, token in enumerate(self.coordinates.tolist())}
        self.object_ref_start, self.object_ref_end = (
            tokens[OBJECT_REF_START],
            tokens[OBJECT_REF_END],
        )
        self.box_start, self.box_end = tokens[BOX_START], tokens[BOX_END]
        self.none = self.encode(NONE)
        self.span_separator = self.encode(SPAN_SEPARATOR)
        self.item_separator = self.encode(ITEM_SEPARATOR)
        self.size = max(tokens.values()) + 1
        self._no_text = {*added, end, *(tokens[token] for token in needed)}

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> Vocabulary:
        """Build the vocabulary of a tokenizer of transformers.

        Args:
            tokenizer: a fast tokenizer with the tokens of the grammar.

        Returns:
            Its vocabulary.

        Raises:
            ValueError: coordinate or markup tokens of the grammar are missing.
        """
        return cls(
            tokenizer.get_vocab(),
            lambda text: list(tokenizer(text, add_special_tokens=False).input_ids),
            tokenizer.eos_token_id,
            tokenizer.added_tokens_decoder.keys(),
        )

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text between markup or coordinates."""
        if text not in self._encoded:
            if len(self._encoded) > 100_000:
                self._encoded.clear()
            ids = self._encode(f"{BOX_START}{text}{BOX_END}")
            self._encoded[text] = tuple(ids[1:-1])
        return self._encoded[text]

    @cached_property
    def text(self) -> NDArray[np.bool_]:
        """(9, size), the tokens that may come next in a free text, one row per `TextClass`.

        A text does not start (TEXT_START) with white space; a token that is surely visible
        (TEXT_VISIBLE) is a text by itself. No token or pair of tokens forms markup of the grammar.
        Between coordinates, ``<`` before a digit is markup too, and a comma is not visible.
        """
        allowed = np.zeros((5 + INLINE, self.size), dtype=bool)
        for token, spelling in self.spellings.items():
            first = spelling[0]
            starts = not spelling[:1].isspace()
            for inline, markup in ((False, _MARKUP), (True, _MARKUP_INLINE)):
                if not markup.search(spelling):
                    visible = starts and has_visible_text(spelling, inline)
                    after = first not in (b"|0123456789" if inline else b"|")
                    rows = slice(TEXT_START + INLINE * inline, 5 + INLINE * inline)
                    allowed[rows, token] = starts, visible, True, after
        return allowed

    @cached_property
    def spellings(self) -> dict[int, bytes]:
        """The bytes of every token of the base vocabulary.

        Raises:
            ValueError: the tokenizer is not byte-level, as those of the Qwen families are.
        """
        found = {}
        for spelling, token in self._tokens.items():
            if spelling and token not in self._no_text and _BYTE_OF.keys() >= set(spelling):
                found[token] = bytes([_BYTE_OF[letter] for letter in spelling])
        if len(found) < 256:
            raise ValueError(
                "free text needs a byte-level tokenizer, as those of the Qwen families are; this "
                f"one has {len(found)} byte-level tokens"
            )
        return found

    def allows(self, choice: Choice, token: int) -> bool:
        """Return whether a choice includes a token."""
        if choice.low <= self.bin_of.get(token, -1) < choice.high or token in choice.tokens:
            return True
        return choice.text != NO_TEXT and token < self.size and bool(self.text[choice.text, token])

    def ids(self, choice: Choice) -> NDArray[np.int64]:
        """Return the token ids of a choice, sorted."""
        parts = [self.coordinates[choice.low : max(choice.low, choice.high)]]
        parts.append(np.array(choice.tokens, dtype=np.int64))
        if choice.text != NO_TEXT:
            parts.append(np.flatnonzero(self.text[choice.text]))
        return np.unique(np.concatenate(parts))


def has_visible_text(text: bytes, inline: bool) -> bool:
    """Return whether bytes hold a complete character that is not white space.

    Args:
        text: UTF-8 that may be cut within a character on either side.
        inline: whether the text is between coordinates, where commas separate items.

    Returns:
        True if one is there.

    >>> has_visible_text(b" a", inline=False), has_visible_text(b" ,", inline=True)
    (True, False)
    """
    letters = text.decode("utf-8", "ignore")
    return bool((letters.replace(ITEM_SEPARATOR, "") if inline else letters).strip())


def _byte_letters() -> dict[str, int]:
    """Map characters of byte-level tokenizers to bytes (the inverse of GPT-2's table).

    A printable byte of Latin-1 is its own character; the others are the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_OF = _byte_letters()
