"""Fields of JSON objects that must be lists or objects where they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.coordinates import short


def list_field(holder: Mapping[str, Any], name: str, place: str = "") -> list[Any]:
    """Return the list under a name; an empty one where it is missing or null.

    Args:
        holder: the object.
        name: of the field.
        place: of the object, for messages.

    Raises:
        DataError: it is something else.

    >>> list_field({"tags": ["cup"]}, "tags"), list_field({}, "tags")
    (['cup'], [])
    """
    value = holder.get(name)
    if value is not None and not isinstance(value, list):
        raise DataError(f"{_in(place)}{name} must be a list, got {short(value)}")
    return value or []


def phrases_field(holder: Mapping[str, Any], name: str, place: str = "") -> list[str]:
    """Return the list of strings under a name, as `list_field` does."""
    value = list_field(holder, name, place)
    if not all(isinstance(phrase, str) for phrase in value):
        raise DataError(f"{_in(place)}{name} must be a list of strings, got {short(value)}")
    return value


def object_field(holder: Mapping[str, Any], name: str, place: str = "") -> dict[str, Any]:
    """Return a copy of the object under a name; an empty one where it is missing or null.

    Raises:
        DataError: it is something else.
    """
    value = holder.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise DataError(f"{_in(place)}{name} must be an object, got {short(value)}")
    return dict(value or {})


def _in(place: str) -> str:
    return f"{place}: " if place else ""
