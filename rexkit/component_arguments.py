"""The arguments of components: which they accept, and whether those of a config are among them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from types import SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rexkit.errors import ConfigError, ErrorCollector, did_you_mean, near_misses

__all__ = ["accepted_arguments"]


def accepted_arguments(component: Callable[..., Any]) -> set[str] | None:
    """Return the names of the arguments a component accepts; None if it accepts any.

    A component with ``**kwargs`` may list what goes into them in a class method
    ``extra_arguments()``.
    """
    parameters = inspect.signature(component).parameters.values()
    named = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        return named
    extra = getattr(component, "extra_arguments", None)
    return None if extra is None else named | set(extra())


def check_names(component: Callable[..., Any], names: Iterable[str], key: str) -> None:
    """Check that a component accepts arguments of these names.

    Args:
        component: a class or function.
        names: of the arguments.
        key: their config key, for messages.

    Raises:
        ConfigError: it does not accept some of them; the message has the nearest it accepts.
    """
    accepted = accepted_arguments(component)
    errors = ErrorCollector()
    for name in names:
        if accepted is not None and name not in accepted:
            title = getattr(component, "__name__", str(component))
            full_key = f"{key}.{name}" if key else name
            with errors.collect():
                raise ConfigError(
                    f"{full_key}: {title} does not accept {name!r}; {did_you_mean(name, accepted)}"
                )
    errors.raise_all()


def check_arguments(
    component: Callable[..., Any],
    arguments: Iterable[str],
    key: str,
    given: Iterable[str] = (),
) -> None:
    """Check that a component accepts the arguments of a config, and that none is missing.

    Args:
        component: a class or function.
        arguments: the names that the config sets.
        key: their config key, for messages.
        given: the names that the code sets.

    Raises:
        ConfigError: an argument that it does not accept, or a missing one.
    """
    arguments = list(arguments)
    check_names(component, arguments, key)
    names = {*arguments, *given}
    for parameter in inspect.signature(component).parameters.values():
        named = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if named and parameter.default is parameter.empty and parameter.name not in names:
            title = getattr(component, "__name__", str(component))
            raise ConfigError(f"{f'{key}: ' if key else ''}{title} needs {parameter.name!r}")


def check_choices(component: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> None:
    """Check the strings for arguments that are annotated as a ``Literal``.

    Args:
        component: a class or function.
        arguments: what the config sets.
        key: the config key of the component.

    Raises:
        ConfigError: a string is none of the choices; the message has the nearest.
    """
    errors = ErrorCollector()
    for name, value in arguments.items():
        choices = _choices(component, name) if isinstance(value, str | list | Mapping) else None
        if choices is not None and value not in choices:
            full_key = f"{key}.{name}" if key else name
            with errors.collect():
                near = [f"; did you mean {hit!r}?" for hit in near_misses(value, choices)[:1]]
                raise ConfigError(
                    f"{full_key}: must be {' or '.join(map(repr, choices))}, got {value!r}"
                    + "".join(near)
                )
    errors.raise_all()


def check_numbers(component: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> None:
    """Check the values for arguments that are annotated as numbers, or as true or false.

    Args:
        component: a class or function.
        arguments: what the config sets.
        key: the config key of the component.

    Raises:
        ConfigError: a value is of another type.
    """
    errors = ErrorCollector()
    for name, value in arguments.items():
        members = set(_members(_hint(component, name))) - {type(None)}
        if value is None or not members or not members <= {int, float, bool}:
            continue
        if members == {bool}:
            wanted, right = "True or False", isinstance(value, bool) or value in (0, 1)
        else:
            right = isinstance(value, Real) and (bool in members or not isinstance(value, bool))
            wanted = "a number"
            if float not in members:
                wanted, right = "a whole number", right and value == value // 1
        if not right:
            with errors.collect():
                full_key = f"{key}.{name}" if key else name
                raise ConfigError(f"{full_key}: expected {wanted}, got {value!r}")
    errors.raise_all()


def _choices(component: Callable[..., Any], name: str) -> list[str] | None:
    """Return the strings that an argument accepts; None if it accepts any or does not say."""
    found: list[str] = []
    for member in _members(_hint(component, name)):
        if get_origin(member) is Literal:
            found += [choice for choice in get_args(member) if isinstance(choice, str)]
        elif member not in (int, float, bool, type(None)):
            return None  # such as str or Sequence[str], which other strings belong to
    return found or None


def _hint(component: Callable[..., Any], name: str) -> Any:
    """Return the annotation of an argument; None if there is none that can be read."""
    function: Any = component.__init__ if inspect.isclass(component) else component  # type: ignore[misc]
    annotation = getattr(function, "__annotations__", {}).get(name)
    if annotation is None:
        return None
    try:
        # One at a time: other annotations may have names that only type checkers import.
        return get_type_hints(
            SimpleNamespace(__annotations__={name: annotation}),
            getattr(function, "__globals__", {}),
        )[name]
    except NameError:
        return None


def _members(hint: Any) -> list[Any]:
    """Return the types of a union, or the one type that an annotation is."""
    if hint is None:
        return []
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]
