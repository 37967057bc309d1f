"""The check that a component follows the Protocol of its registry.

A component is checked when it is registered, before any object is built: every method and class
attribute that its Protocol declares must be there, and every method must take the arguments it is
called with.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from rexkit.errors import InterfaceError, near_misses
from rexkit.interfaces import PROTOCOLS, BatchReward, CombiningTransform, Reward, Transform

__all__ = ["check_component"]

_OTHER_FORMS: dict[type, tuple[str, type]] = {
    Reward: ("batch", BatchReward),
    Transform: ("combine", CombiningTransform),
}
"""For a Protocol with two forms: the method that the other form has, and its Protocol."""


def check_component(registry: str, component: Any) -> None:
    """Check that a component has what its registry requires, without building it.

    A function in REWARDS is the reward itself; in any other registry a function builds the
    component, and what it returns is not checked.

    Args:
        registry: the registry's name, such as "METRICS"; a name without Protocol checks nothing.
        component: a class or a function.

    Raises:
        InterfaceError: a method or attribute is missing, or a method does not take the arguments
            it is called with.
    """
    if registry not in PROTOCOLS:
        return
    protocol, page = PROTOCOLS[registry]
    if inspect.isclass(component):
        method, other = _OTHER_FORMS.get(protocol, ("", protocol))
        if _find(component, method) is not None:
            protocol = other
        faults = [*_missing_attributes(component, protocol), *_wrong_methods(component, protocol)]
    else:
        faults = _wrong_function(component, protocol)
    if faults:
        raise InterfaceError(
            f"{registry}: {_describe(component)} {'; it '.join(faults)}. "
            f"See docs/extend/{page}.md for an example that works."
        )


def _missing_attributes(component: type, protocol: type) -> Iterator[str]:
    for name, annotation in inspect.get_annotations(protocol).items():
        if annotation.startswith("ClassVar") and _find(component, name) is None:
            yield f"lacks the class attribute {name!r}{_hint(component, protocol, name)}"


def _wrong_methods(component: type, protocol: type) -> Iterator[str]:
    abstract = getattr(component, "__abstractmethods__", ())
    for name, declared in _declared_methods(protocol).items():
        method = _find(component, name)
        if method is None or name in abstract:
            signature = _without_self(declared)
            yield f"lacks the method {name}{signature}{_hint(component, protocol, name)}"
        elif inspect.isfunction(method) and not _accepts(method, declared):
            yield (
                f"has the method {name}{_without_self(method)}, "
                f"which must take {_without_self(declared)}"
            )
    required = {*_declared_methods(protocol), *inspect.get_annotations(protocol)}
    for name in sorted(set(abstract) - required):
        yield f"does not implement the method {name!r} of its base class"


def _wrong_function(component: Any, protocol: type) -> list[str]:
    parameters = list(inspect.signature(component).parameters.values())
    if protocol is Reward:
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return []
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        lacking = ["prediction", "target"][len(positional) :]
        return [
            f"lacks the parameter {name!r}: it is called as (prediction, target)"
            for name in lacking
        ]
    call = _declared_methods(protocol).get("__call__")
    if call is not None:
        names = [p.name for p in _parameters(call)]
        if [p.name for p in parameters][: len(names)] == names:
            return [
                f"is called as {_without_self(call)} only after a config has built it: register a "
                "class with the method __call__ instead of a function"
            ]
    return []


def _declared_methods(protocol: type) -> dict[str, Any]:
    """Return the methods that a Protocol itself declares; typing adds some of its own."""
    return {
        name: member
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and member.__module__ == protocol.__module__
    }


def _find(component: type, name: str) -> Any:
    """Return a member of a class or its bases, but not one of `object` or of the metaclass."""
    for base in component.__mro__[:-1]:
        if name in vars(base):
            return vars(base)[name]
    return None


def _accepts(method: Any, declared: Any) -> bool:
    """Whether a method can be called as its Protocol declares it."""
    parameters = _parameters(declared)
    named = {p.name: None for p in parameters if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD)}
    given = [None for p in parameters if p.name not in named]
    try:
        inspect.signature(method).bind(None, *given, **named)
    except TypeError:
        return False
    return True


def _parameters(method: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(method).parameters.values())[1:]


def _without_self(method: Any) -> str:
    """Format the parameters of a method without self."""
    words: list[str] = []
    for p in _parameters(method):
        if p.kind is p.KEYWORD_ONLY and "*" not in words and not any(w[:1] == "*" for w in words):
            words.append("*")
        stars = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        default = "" if p.default is p.empty else f"={p.default!r}"
        words.append(f"{stars}{p.name}{default}")
    return f"({', '.join(words)})"


def _hint(component: type, protocol: type, name: str) -> str:
    """Return a hint at the member that was probably meant to have the missing name."""
    known = {*_declared_methods(protocol), *inspect.get_annotations(protocol)}
    own = {n for base in component.__mro__[:-1] for n in vars(base) if not n.startswith("__")}
    near = near_misses(name.strip("_"), own - known)
    return f" (is {near[0]!r} meant to be it?)" if near else ""


def _describe(component: Any) -> str:
    kind = "class" if inspect.isclass(component) else "function"
    place = component.__module__
    try:
        file, line = inspect.getsourcefile(component), inspect.getsourcelines(component)[1]
    except (OSError, TypeError):  # written at a prompt, or not in Python
        return f"the {kind} {component.__qualname__} of {place}"
    return f"the {kind} {component.__qualname__} ({file}:{line})"
