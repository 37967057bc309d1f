"""Public names of a package whose modules are imported at first use, since they need torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` (PEP 562) that imports a name when it is first used.

    Args:
        package: ``__name__`` of the package.
        modules: public name -> the module that defines it.

    >>> lazy_names("rexkit", {"Path": "pathlib"})("Path").__name__
    'Path'
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return get
