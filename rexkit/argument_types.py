"""The types of arguments: whether the values of a config fit the annotations of a component.

A config has numbers, strings, lists and dicts, so only those are told apart. An annotation that
names another type, such as a class, accepts every value.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

from rexkit.errors import ConfigError, ErrorCollector, near_misses

_LISTS = (Sequence, list, tuple, set, frozenset, Collection, Iterable)
_DICTS = (Mapping, dict)
_WANTED = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    os.PathLike: "a path",
    Path: "a path",
    NoneType: "None",
}
_PLURAL = {
    "a whole number": "whole numbers",
    "a number": "numbers",
    "a string": "strings",
    "a path": "paths",
    "a dict": "dicts",
}


def check_types(component: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> None:
    """Check the values for arguments against their annotations.

    None is accepted everywhere: it stands for what a component does by itself.

    Args:
        component: a class or function.
        arguments: what the config sets.
        key: the config key of the component.

    Raises:
        ConfigError: a value is of another type, or none of the strings of a ``Literal``; the
            message has what is expected, and the nearest string.
    """
    errors = ErrorCollector()
    for name, value in arguments.items():
        with errors.collect():
            check_type(value, _annotation(component, name), f"{key}.{name}" if key else name)
    errors.raise_all()


def check_type(value: Any, annotation: Any, key: str) -> None:
    """Check one value against an annotation.

    Args:
        value: of a config.
        annotation: a type, such as ``Sequence[str] | None``.
        key: the config key of the value.

    Raises:
        ConfigError: the value is of another type.

    Example:
        >>> check_type([1, 2], tuple[int, int], "size")
        >>> check_type("640", tuple[int, int], "size")
        Traceback (most recent call last):
        rexkit.errors.ConfigError: size: expected a list of 2 whole numbers, got '640'
    """
    if value is None or _fits(value, annotation):
        return
    members = [member for member in _members(annotation) if member is not NoneType]
    literals = [member for member in members if get_origin(member) is Literal]
    choices = [str(choice) for literal in literals for choice in get_args(literal)]
    if isinstance(value, str) and set(members) - {*literals} <= {int, float, bool}:
        members = literals or members
    wanted = " or ".join(dict.fromkeys(map(_wanted, members)))
    verb = "must be" if members == literals else "expected"
    near = near_misses(value, choices)[:1] if isinstance(value, str) else []
    hint = "".join(f"; did you mean {hit!r}?" for hit in near)
    raise ConfigError(f"{key}: {verb} {wanted}, got {value!r}{hint}")


def _fits(value: Any, annotation: Any) -> bool:
    members = _members(annotation)
    return not members or any(_is(value, member) for member in members)


def _is(value: Any, member: Any) -> bool:
    """Whether a value is of a type that is no union; True for a type that no config has."""
    kind, inner = get_origin(member) or member, get_args(member)
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if kind is NoneType:
        return value is None
    if kind is bool:
        return isinstance(value, bool) or (isinstance(value, Real) and value in (0, 1))
    if kind in (int, float):
        number = isinstance(value, Real) and not isinstance(value, bool)
        return number and (kind is float or value == value // 1)
    if kind is str:
        return isinstance(value, str)
    if kind in (os.PathLike, Path):
        return isinstance(value, (str, os.PathLike))
    if kind in _DICTS:
        return isinstance(value, Mapping)
    if kind in _LISTS:
        return _is_list(value, kind, inner)
    return True


def _is_list(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    if not isinstance(value, Collection) or isinstance(value, (str, bytes, Mapping)):
        return False
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return not inner or all(_fits(element, inner[0]) for element in value)


def _wanted(member: Any) -> str:
    kind, inner = get_origin(member) or member, get_args(member)
    if kind is Literal:
        return " or ".join(map(repr, inner))
    if kind in _DICTS:
        return "a dict"
    if kind not in _LISTS:
        return _WANTED[kind]
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        kinds = {_PLURAL.get(_each(element), "values") for element in inner}
        return f"a list of {len(inner)} {kinds.pop() if len(kinds) == 1 else 'values'}"
    each = _each(inner[0]) if inner else ""
    return f"a list of {_PLURAL.get(each, each)}" if each else "a list"


def _each(annotation: Any) -> str:
    """Return what an element of a list has to be; "" where it may be of several types."""
    members = _members(annotation)
    kind = (get_origin(members[0]) or members[0]) if len(members) == 1 else None
    return _wanted(members[0]) if kind in (Literal, *_WANTED, *_DICTS) else ""


def _annotation(component: Callable[..., Any], name: str) -> Any:
    """Return the annotation of an argument; None if there is none that can be read."""
    function: Any = component.__init__ if inspect.isclass(component) else component  # type: ignore[misc]
    annotations = getattr(function, "__annotations__", {})
    names = getattr(function, "__globals__", {})
    if name in annotations:
        return _resolved(annotations[name], names)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and parameter.name in annotations:
            options = _resolved(annotations[parameter.name], names)
            if get_origin(options) is Unpack:
                return get_type_hints(get_args(options)[0]).get(name)
    return None


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    # One at a time: other annotations may have names that only type checkers import.
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"one": annotation}), names)["one"]
    except NameError:
        return None


def _members(annotation: Any) -> list[Any]:
    """Return the types of a union, or the one type that an annotation is."""
    if annotation is None:
        return []
    if get_origin(annotation) in (Union, UnionType):
        return [member for arg in get_args(annotation) for member in _members(arg)]
    return [annotation]
