"""The terminal as commands write to it: texts from files and models appear as they are."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from rexkit.errors import without_controls


class Terminal(Console):
    """A `rich.console.Console` in which a string is never markup, emoji or control sequences.

    Names of files, config values and texts of models are printed, and put into tables, as strings.
    What is to be shown in a colour is a `rich.text.Text`, or has a ``style``.

    Args:
        options: of `rich.console.Console`.
    """

    def __init__(self, **options: Any):
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """Return a string as text, control characters as escapes."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(without_controls(text), **options)
