"""Rows that cannot be used, those with alike messages together."""

from __future__ import annotations

import re
from typing import Any

from rexkit.errors import DataError

_VARIABLE = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\[[^\]]*\]|\{[^}]*\}|\([^)]*\)|/\S+|[-+]?\d[\d.]*"
)
"""What differs between alike messages: quoted values, lists, remarks, paths and numbers."""


class RowFailures:
    """The errors of rows: how many are alike but for values, and the first and last of them.

    Args:
        groups: as in the attribute, to go on from.

    Attributes:
        groups: for each message without its values, the number of errors, the first one, and the
            place of the last one. It can be written as JSON.

    >>> failures = RowFailures()
    >>> for line in (3, 5, 9):
    ...     failures.add(DataError(f"box {[line, 1]} lies outside", f"a.jsonl:{line}"))
    >>> failures.describe()
    ['a.jsonl:3: box [3, 1] lies outside (and 2 more rows like this one, the last a.jsonl:9)']
    """

    def __init__(self, groups: dict[str, list[Any]] | None = None):
        self.groups: dict[str, list[Any]] = dict(groups or {})

    def add(self, error: DataError) -> None:
        """Count the error of a row."""
        message = _VARIABLE.sub("…", error.reason)
        number, first, _ = self.groups.get(message, (0, str(error), ""))
        self.groups[message] = [number + 1, first, error.source]

    @property
    def total(self) -> int:
        """The number of rows."""
        return sum(number for number, _, _ in self.groups.values())

    def describe(self) -> list[str]:
        """Return a message for each group, in the order in which they came up."""
        messages = []
        for number, first, last in self.groups.values():
            more = f"{number - 1} more {'row' if number == 2 else 'rows'} like this one"
            messages.append(first if number == 1 else f"{first} (and {more}, the last {last})")
        return messages
