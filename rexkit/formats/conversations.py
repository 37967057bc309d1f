"""Rows of conversations about an image: their messages and their image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.json_fields import list_field
from rexkit.formats.json_lines import JsonLinesFile, JsonStart
from rexkit.formats.json_lists import JsonListFile, first_of_json_list

IMAGE = "<image>"
"""What stands for the image in the text of a message."""

_ROLES = {"human": "user", "gpt": "assistant"}
_IMAGE_PARTS = ("image", "image_url")


def open_rows(path: Path) -> JsonLinesFile | JsonListFile:
    """Return a file of JSON Lines, or of one JSON list of objects.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is neither.
    """
    is_list = JsonStart.of(path).opening == "["
    return JsonListFile(path) if is_list else JsonLinesFile(path)


def first_keys(path: Path) -> set[str]:
    """Return the keys of the first row of a file; none where it is no file of rows."""
    if path.suffix not in (".json", ".jsonl"):
        return set()
    start = JsonStart.of(path)
    if start.opening == "{":
        return {*start.keys}
    return {*(first_of_json_list(path) or {})}


def read_messages(row: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Return the messages of a row, each with "role" ("user", "assistant", …) and "content".

    Args:
        row: of the file.
        name: the field of the messages, "messages" or "conversations".

    Raises:
        DataError: there are none, or one has no role or no text.

    >>> read_messages({"conversations": [{"from": "human", "value": "Hello"}]}, "conversations")
    [{'role': 'user', 'content': 'Hello'}]
    """
    messages = []
    for number, message in enumerate(list_field(row, name)):
        place = f"{name}[{number}]"
        if not isinstance(message, Mapping):
            raise DataError(f"{place} must be an object, got {short(message)}")
        role = message.get("role", message.get("from"))
        if not isinstance(role, str):
            raise DataError(f"{place} must have a role, a string; got {short(role)}")
        content = _text(message.get("content", message.get("value")), place)
        messages.append({"role": _ROLES.get(role, role), "content": content})
    if not messages:
        raise DataError(f"a row of a conversation has {name!r}; this one has {list(row)}")
    return messages


def image_name(row: Mapping[str, Any]) -> str:
    """Return the path of the only image of a row.

    Raises:
        DataError: it has none, or several, or no path of it.
    """
    found = row.get("images", row.get("image"))
    listed = found if isinstance(found, list) else [] if found is None else [found]
    if not listed:
        raise DataError("the row has no image; rows of text alone are read by ChatDataset")
    if len(listed) > 1:
        raise DataError(f"a row may have one image, this one has {len(listed)}")
    name = listed[0].get("path") if isinstance(listed[0], Mapping) else listed[0]
    if not isinstance(name, str):
        raise DataError(f"image must be a path, got {short(listed[0])}")
    return name


def _text(content: Any, place: str) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(f"{place} must have a text, got {short(content)}")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in _IMAGE_PARTS:
            texts.append(IMAGE)
        else:
            raise DataError(f"{place}: a part must be a text or an image, got {short(part)}")
    return "".join(texts)
