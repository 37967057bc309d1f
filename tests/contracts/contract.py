"""Checks of names and signatures that fail with the name of what a package changed."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def find(path: str) -> Any:
    """Return an object by ``module:attribute.attribute``; a missing part fails by name."""
    module_name, _, attributes = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise AssertionError(f"{module_name} can no longer be imported: {error}") from error
    seen = module_name
    for name in filter(None, attributes.split(".")):
        assert hasattr(found, name), f"{seen} no longer has {name}"
        found, seen = getattr(found, name), f"{seen}.{name}"
    return found


def check_parameters(path: str, *names: str) -> None:
    """Fail with the name of a parameter that a function no longer has."""
    parameters = inspect.signature(find(path)).parameters
    for name in names:
        assert name in parameters, f"{path} no longer has the parameter {name}: {[*parameters]}"


def check_source(path: str, *fragments: str) -> None:
    """Fail with a fragment that the source of an object no longer holds."""
    source = inspect.getsource(find(path))
    for fragment in fragments:
        assert fragment in source, f"{path} no longer holds {fragment!r}"


def check_order(path: str, *fragments: str) -> None:
    """Fail if fragments of the source of an object are missing or come in another order."""
    check_source(path, *fragments)
    source = inspect.getsource(find(path))
    places = [source.index(fragment) for fragment in fragments]
    assert places == sorted(places), f"{path} no longer has this order: {fragments}"
