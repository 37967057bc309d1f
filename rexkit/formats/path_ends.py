"""Images that a file names by a path of another computer: looked for by the path's end."""

from __future__ import annotations

import os
import re
from pathlib import Path


def path_ends(path: str) -> list[str]:
    r"""Return the ends of a path, the longest first: what it may be called in another folder.

    Args:
        path: with either slash; ``.``, ``..`` and drives mean nothing here.

    >>> path_ends("C:\\data\\kitchen\\cup.jpg")
    ['data/kitchen/cup.jpg', 'kitchen/cup.jpg', 'cup.jpg']
    """
    parts = [p for p in re.split(r"[/\\]", path) if p not in ("", ".", "..")]
    parts = parts[1:] if len(parts) > 1 and re.fullmatch("[A-Za-z]:", parts[0]) else parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def first_file(folder: Path, ends: list[str]) -> Path | None:
    """Return the first of several paths that is a file in a folder, or None."""
    # Unlike a path's own method, this is false for names that are too long.
    return next((p for p in (folder / end for end in ends) if os.path.isfile(p)), None)
