"""A tokenizer as the answer grammar sees it: coordinates, markup, and tokens that spell text."""

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
"""Which tokens may come next in a free text: a row of `Vocabulary.text`, or NO_TEXT. The rows of
text among coordinates lie INLINE further on."""
NO_TEXT, TEXT_START, TEXT_SEEN, TEXT, TEXT_AFTER_LESS = range(5)
INLINE = 4


class Choice(NamedTuple):
    """The tokens that may come next: a range of bins, some tokens by id, a class of text tokens."""

    low: int = 0
    high: int = 0
    """One past the last bin; no bin where it is not above ``low``."""
    tokens: tuple[int, ...] = ()
    text: TextClass = NO_TEXT


_MARKUP = re.compile(rb"<\|")
_MARKUP_INLINE = re.compile(rb"<[|0-9]")


class Vocabulary:
    """Token ids by their meaning in an answer.

    Args:
        tokens: every token's spelling and id.
        encode: a text to token ids, nothing added.
        end: the id of the token that ends an answer.
        added: ids of tokens outside the ordinary vocabulary (markup, coordinates).

    Raises:
        ValueError: coordinates or markup of the grammar are missing.
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
                f"{len(missing)} tokens of the answer grammar are missing from the tokenizer, the "
                f"first is {missing[0]}; rexkit.models.add_coordinate_tokens adds them"
            )
        self._tokens = tokens
        self._encode = encode
        self._spelled: dict[str, tuple[int, ...]] = {}
        self.end = end
        self.coordinates: NDArray[np.int64] = np.array([tokens[t] for t in COORD_TOKENS])
        self.bin_of = {token: number for number, token in enumerate(self.coordinates.tolist())}
        self.object_ref_start, self.object_ref_end = (
            tokens[OBJECT_REF_START],
            tokens[OBJECT_REF_END],
        )
        self.box_start, self.box_end = tokens[BOX_START], tokens[BOX_END]
        self.none = self.spell(NONE)
        self.span_separator = self.spell(SPAN_SEPARATOR)
        self.item_separator = self.spell(ITEM_SEPARATOR)
        self.size = max(tokens.values()) + 1
        self._no_text = {*added, end, *(tokens[token] for token in needed)}

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """That of a transformers tokenizer."""
        return cls(
            tokenizer.get_vocab(),
            lambda text: list(tokenizer(text, add_special_tokens=False).input_ids),
            tokenizer.eos_token_id,
            tokenizer.added_tokens_decoder.keys(),
        )

    def spell(self, text: str) -> tuple[int, ...]:
        """The ids of a text that stands between markup or coordinates."""
        if text not in self._spelled:
            if len(self._spelled) > 100_000:
                self._spelled.clear()
            ids = self._encode(f"{BOX_START}{text}{BOX_END}")
            self._spelled[text] = tuple(ids[1:-1])
        return self._spelled[text]

    @cached_property
    def text(self) -> NDArray[np.bool_]:
        """(9, size): which tokens may come next in a free text, a row for each `TextClass`.

        A text starts (TEXT_START) without white space; a token that is certain to be seen
        (TEXT_SEEN) is a text by itself. No token or pair of tokens makes markup of the answer.
        Among coordinates ``<`` before a digit is markup too, and a comma does not count as seen.
        """
        allowed = np.zeros((5 + INLINE, self.size), dtype=bool)
        for token, spelling in self.spellings.items():
            first = spelling[0]
            starts = not spelling[:1].isspace()
            for inline, markup in ((False, _MARKUP), (True, _MARKUP_INLINE)):
                if not markup.search(spelling):
                    seen = starts and can_be_seen(spelling, inline)
                    after = first not in (b"|0123456789" if inline else b"|")
                    rows = slice(TEXT_START + INLINE * inline, 5 + INLINE * inline)
                    allowed[rows, token] = starts, seen, True, after
        return allowed

    @cached_property
    def spellings(self) -> dict[int, bytes]:
        """The bytes of every ordinary token.

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
        """Whether a token is among those of a choice."""
        if choice.low <= self.bin_of.get(token, -1) < choice.high or token in choice.tokens:
            return True
        return choice.text != NO_TEXT and token < self.size and bool(self.text[choice.text, token])

    def ids(self, choice: Choice) -> NDArray[np.int64]:
        """The tokens of a choice, sorted."""
        parts = [self.coordinates[choice.low : max(choice.low, choice.high)]]
        parts.append(np.array(choice.tokens, dtype=np.int64))
        if choice.text != NO_TEXT:
            parts.append(np.flatnonzero(self.text[choice.text]))
        return np.unique(np.concatenate(parts))


def can_be_seen(text: bytes, inline: bool) -> bool:
    """Whether some bytes, as far as they are whole letters, hold more than white space.

    Args:
        text: UTF-8, perhaps cut within a letter on either side.
        inline: among coordinates, where commas separate items.
    """
    letters = text.decode("utf-8", "ignore")
    return bool((letters.replace(ITEM_SEPARATOR, "") if inline else letters).strip())


def _byte_letters() -> dict[str, int]:
    """The letters that byte-level tokenizers write bytes with (GPT-2's ``bytes_to_unicode``).

    A printable byte of Latin-1 is its own letter; the others are the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_OF = _byte_letters()
