"""The arguments of components: which they accept, and whether those of a config are among them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from rexkit.errors import ConfigError, ErrorCollector, did_you_mean

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
