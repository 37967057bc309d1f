"""Rows that cannot be used, counted by kind."""

from __future__ import annotations

import re
from typing import Any

from rexkit.errors import DataError

_VARIABLE = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\[[^\]]*\]|\{[^}]*\}|\([^)]*\)|/\S+|[-+]?\d[\d.]*"
)
"""What differs between messages of one kind: quoted values, lists, remarks, paths and numbers."""


class RowFailures:
    """The errors of rows: how many of each kind, and the first and the last of it.

    Args:
        kinds: as in the attribute, to go on from.

    Attributes:
        kinds: for each kind, the number, the first message, and the place of the last one. It can
            be written as JSON.

    >>> failures = RowFailures()
    >>> for line in (3, 5, 9):
    ...     failures.add(DataError(f"box {[line, 1]} lies outside", f"a.jsonl:{line}"))
    >>> failures.describe()
    ['a.jsonl:3: box [3, 1] lies outside (and 2 more rows of this kind, the last a.jsonl:9)']
    """

    def __init__(self, kinds: dict[str, list[Any]] | None = None):
        self.kinds: dict[str, list[Any]] = dict(kinds or {})

    def add(self, error: DataError) -> None:
        """Count the error of a row."""
        kind = _VARIABLE.sub("…", error.reason)
        number, first, _ = self.kinds.get(kind, (0, str(error), ""))
        self.kinds[kind] = [number + 1, first, error.source]

    @property
    def total(self) -> int:
        """The number of rows."""
        return sum(number for number, _, _ in self.kinds.values())

    def describe(self) -> list[str]:
        """Return a message for each kind, in the order in which they came up."""
        messages = []
        for number, first, last in self.kinds.values():
            more = f"{number - 1} more {'row' if number == 2 else 'rows'} of this kind"
            messages.append(first if number == 1 else f"{first} (and {more}, the last {last})")
        return messages
