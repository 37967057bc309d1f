"""Pickles of plain data: lists, dicts, texts and numbers, read without running anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from rexkit.errors import DataError

_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError),
    *(MemoryError, RecursionError, OverflowError),
)


def read_plain_pickle(path: Path) -> Any:
    """Return the value of a pickle that names no class and no function.

    Only these can run code when they are read; a pickle that names one is refused when its name is
    met. Those of Python 2 are read, their strings as UTF-8.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it names something, or is damaged.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="utf-8").load()
        except _DAMAGED as error:
            raise DataError(f"this is no pickle of plain data ({error})", str(path)) from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name."""
        raise pickle.UnpicklingError(
            f"it names {module}.{name}, and could run code; only lists, dicts, texts and numbers "
            "are read"
        )
