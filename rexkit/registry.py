"""The registries, which map the names in a config to classes.

They are mmengine registries, so ``@DATASETS.register_module()`` and ``dict(type="TSVDataset", …)``
work as mmengine's users expect. Three things are added: components of rexkit are imported only when
a registry is first queried, plugins are loaded before a name is looked up, and errors say where in
the config they come from and what was meant.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mmengine.registry

from rexkit.argument_types import check_types
from rexkit.component_arguments import check_arguments
from rexkit.component_check import check_component
from rexkit.errors import ConfigError, UserError, near_misses
from rexkit.plugins import credit_component, failed_plugins, load_plugins

__all__ = [
    "BACKENDS",
    "DATASETS",
    "FORMATS",
    "MASKERS",
    "METRICS",
    "MODELS",
    "PARSERS",
    "REGISTRIES",
    "REWARDS",
    "TASK_FNS",
    "TRAINERS",
    "TRANSFORMS",
    "VISUALIZERS",
    "Registry",
]


class Registry(mmengine.registry.Registry):
    """A registry of components, filled by decorators.

    >>> from rexkit.registry import DATASETS
    >>> DATASETS.build(dict(type="ShapesDataset", size=2), key="train_data.dataset").size
    2
    """

    def register_module(
        self,
        name: str | list[str] | None = None,
        force: bool = False,
        module: Any = None,
    ) -> Any:
        """Register a class or function, as a decorator or by ``module=``.

        Args:
            name: under which configs name it; left out, the name of the class or function.
            force: replace a component of the same name.
            module: the component, where this is not used as a decorator.

        Raises:
            KeyError: the name is taken and ``force`` is not set.
            InterfaceError: the component lacks what `rexkit.interfaces` declares for it.
        """
        if module is None:
            return lambda component: self.register_module(name, force, component)
        foreign = not str(module.__module__).startswith("rexkit.")
        if foreign:
            # rexkit's own names come first, or a package imported early could take one of them.
            self.import_from_location()
        check_component(self.name, module)
        super().register_module(name, force, module)
        if foreign:
            names = [name or module.__name__] if isinstance(name, str | None) else name
            for registered in names:
                credit_component(self.name, registered)
        return module

    def get(self, name: str) -> Any:
        """Return the component of that name.

        Raises:
            ConfigError: there is none; the message lists the nearest known names.
        """
        return self._find(name, key="type")

    def __contains__(self, name: object) -> bool:
        return name in self.components()

    def components(self) -> dict[str, Any]:
        """Return every component by name: rexkit's own and those of plugins and user code."""
        self.import_from_location()
        load_plugins()
        return dict(self.module_dict)

    def build(self, cfg: Mapping[str, Any], *, key: str = "", **given: Any) -> Any:
        """Build the component that a config describes.

        Args:
            cfg: ``type`` and the arguments of that component.
            key: the config key of ``cfg``, for messages.
            given: arguments that come from the code and not from the config.

        Raises:
            ConfigError: no such component, arguments that it does not accept, or values that it
                refuses with a ``ValueError`` or ``TypeError``; a file that cannot be opened.
            UserError: raised by the component; its message gets the key where it has none.
        """
        component = self.component(cfg, key)
        arguments = {name: value for name, value in cfg.items() if name != "type"}
        check_arguments(component, arguments, key, given)
        check_types(component, arguments, key)
        with errors_at(key, arguments, given):
            return component(**arguments, **given)

    def component(self, cfg: Mapping[str, Any], key: str = "") -> Any:
        """Return the class or function that a config names by ``type``.

        Raises:
            ConfigError: it is no dict with that key, or there is no such component.
        """
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise ConfigError(
                f"{key or self.name}: expected a dict with the key 'type', got {cfg!r}"
            )
        named, place = cfg["type"], f"{key}.type" if key else "type"
        if isinstance(named, str):
            return self._find(named, place)
        if not callable(named):
            raise ConfigError(f"{place}: must be a name of {self.name}, got {named!r}")
        return named

    def _find(self, name: str, key: str) -> Any:
        if name not in self.module_dict:
            self.components()
        if name in self.module_dict:
            return self.module_dict[name]
        raise ConfigError(f"{key}: {name!r} is not in {self.name}.{self._hint(name)}")

    def _hint(self, name: str) -> str:
        known = self.components()
        near = [f"{n!r} ({known[n].__module__})" for n in near_misses(name, known)]
        hint = f" Did you mean {' or '.join(near)}?" if near else f" It holds: {', '.join(known)}."
        elsewhere = [r.name for r in REGISTRIES.values() if r is not self and name in r.module_dict]
        if elsewhere:
            hint += f" There is one in {elsewhere[0]}."
        for plugin in failed_plugins():
            hint += f" Plugin {plugin.name!r} failed to load and may hold it ({plugin.reason})."
        return hint + " Own code must be imported first (custom_imports in the config)."


@contextmanager
def errors_at(key: str, arguments: Mapping[str, Any], given: Iterable[str] = ()) -> Iterator[None]:
    """Raise the errors of a constructor with the config key they belong to.

    Args:
        key: the config key of the component.
        arguments: what the config sets; an error about one of them gets its key.
        given: the names that the code sets; an error about one of them has its key already.

    Raises:
        ConfigError: inside, a ``ValueError``, ``TypeError``, ``OSError`` or ``ImportError`` was
            raised.
        UserError: inside, a `UserError` was raised; it keeps its type.
    """
    try:
        yield
    except UserError as error:
        if messages := getattr(error, "messages", ()):
            raise ConfigError.of_several(
                _prefix(message, key, arguments, given) + message for message in messages
            ) from error
        error.prefix = _prefix(str(error), key, arguments, given) + error.prefix
        raise
    except OSError as error:
        if not key:
            raise
        name = next((n for n, value in arguments.items() if str(value) == error.filename), None)
        full_key = key if name is None else f"{key}.{name}"
        if isinstance(error, FileNotFoundError) and name is not None:
            raise ConfigError(f"{full_key}: there is no file {error.filename}") from error
        raise ConfigError(f"{full_key}: {error}") from error
    except (ValueError, TypeError, ImportError) as error:
        text = str(error) or type(error).__name__
        raise ConfigError(_prefix(text, key, arguments, given) + text) from error
    except Exception as error:  # of a value that the component does not check
        if not key:
            raise
        raise ConfigError(f"{key}: a value has a wrong type or range ({error!r})") from error


def _prefix(text: str, key: str, arguments: Iterable[str], given: Iterable[str]) -> str:
    """Return what makes a message start with a key: "trainer.", "trainer: " or nothing."""
    found = re.match(r"(\w+)(?=[.:=\[]| must)", text)
    name = found[1] if found else ""
    if not key or text.startswith((f"{key}:", f"{key}.", f"{key} ")) or name in given:
        return ""
    return f"{key}." if name in arguments else f"{key}: "


def one_line(component: Any) -> str:
    """Return the first line of a component's docstring."""
    return (inspect.getdoc(component) or "").partition("\n")[0]


def origin(component: Any) -> str:
    """Return the top-level package a component comes from."""
    module = sys.modules.get(component.__module__)
    return (module.__name__ if module else component.__module__).partition(".")[0]


def _registry(name: str, room: str) -> Registry:
    return Registry(name, scope="rexkit", locations=[f"rexkit.{room}"])


DATASETS = _registry("DATASETS", "datasets")
TRANSFORMS = _registry("TRANSFORMS", "datasets")
TASK_FNS = _registry("TASK_FNS", "tasks")
PARSERS = _registry("PARSERS", "parsers")
REWARDS = _registry("REWARDS", "rewards")
METRICS = _registry("METRICS", "metrics")
FORMATS = _registry("FORMATS", "conversion")
VISUALIZERS = _registry("VISUALIZERS", "visualizers")
MASKERS = _registry("MASKERS", "maskers")
MODELS = _registry("MODELS", "models")
BACKENDS = _registry("BACKENDS", "backends")
TRAINERS = _registry("TRAINERS", "training.trainers")

REGISTRIES: dict[str, Registry] = {
    registry.name: registry
    for registry in (
        *(DATASETS, TRANSFORMS, TASK_FNS, PARSERS, REWARDS),
        *(METRICS, VISUALIZERS, MODELS, BACKENDS, TRAINERS),
        *(FORMATS, MASKERS),
    )
}
"""Every registry by its name, for listings."""
