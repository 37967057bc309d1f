"""Plugins: installed packages that add components and hooks.

A package becomes a plugin by an entry point in the group ``rexkit.plugins``::

    [project.entry-points."rexkit.plugins"]
    gui = "rexkit_plugin_gui"

Its module registers components with the same decorators as rexkit's own, and may implement any of
the hooks of `HookSpecs` as functions marked with ``rexkit.hook``. A plugin that cannot be imported
does not stop rexkit: its `Plugin` has the traceback, and an error about a component that is not
found names it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

__all__ = ["GROUP", "HookSpecs", "Plugin", "call_hook", "failed_plugins", "hook", "load_plugins"]

GROUP = "rexkit.plugins"

hookspec = pluggy.HookspecMarker("rexkit")
hook = pluggy.HookimplMarker("rexkit")
"""Marks a plugin's function as the implementation of the hook of its name."""

logger = logging.getLogger(__name__)


class HookSpecs:
    """The hooks that a plugin may implement; every one is optional."""

    @hookspec
    def rexkit_config(self, config: Any) -> None:
        """Change the complete config of a run in place, before anything is built."""

    @hookspec
    def rexkit_callbacks(self, config: Any) -> Any:  # type: ignore[empty-body]
        """Return a list of ``transformers.TrainerCallback`` objects for the training."""

    @hookspec
    def rexkit_results(self, metrics: Mapping[str, float], work_dir: Path) -> None:
        """Use the results of a test, once its metrics and files are complete."""


@dataclass
class Plugin:
    """An installed plugin, loaded or failed.

    Attributes:
        name: the name of its entry point.
        package: its distribution and version.
        module: the module that its entry point names.
        components: registry name -> the names that it registered there.
        hooks: the names of the hooks that it implements.
        traceback: the traceback of a failed import; empty if it loaded.
    """

    name: str
    package: str
    module: str
    components: dict[str, list[str]] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)
    traceback: str = ""

    @property
    def reason(self) -> str:
        """The last line of the traceback."""
        return self.traceback.strip().rpartition("\n")[2]


@cache
def load_plugins() -> tuple[Plugin, ...]:
    """Load every installed plugin, once in each process."""
    return tuple(_load(entry) for entry in entry_points(group=GROUP))


def failed_plugins() -> list[Plugin]:
    """Return the plugins that failed to load."""
    return [plugin for plugin in load_plugins() if plugin.traceback]


def call_hook(name: str, **arguments: Any) -> list[Any]:
    """Call a hook of every loaded plugin.

    An exception in a hook ends the run with the plugin's own traceback, since continuing could
    train or score something else than the config says.

    Args:
        name: the hook, such as "rexkit_config".
        arguments: those of the hook.

    Returns:
        The results that are not None.
    """
    load_plugins()
    results: list[Any] = getattr(_manager().hook, name)(**arguments)
    return results


@cache
def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("rexkit")
    manager.add_hookspecs(HookSpecs)
    return manager


_loading: list[Plugin] = []


def credit_component(registry: str, name: str) -> None:
    """Record a new component as one of the plugin that is being loaded, if there is one."""
    for plugin in _loading[-1:]:
        plugin.components.setdefault(registry, []).append(name)


def _load(entry: EntryPoint) -> Plugin:
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
    plugin = Plugin(entry.name, package, entry.value)
    manager = _manager()
    _loading.append(plugin)
    try:
        module = entry.load()
        manager.register(module, name=entry.name)
        manager.check_pending()
        plugin.hooks = [caller.name for caller in manager.get_hookcallers(module) or []]
    except Exception:  # noqa: BLE001 - whatever is wrong with a plugin must not stop the rest
        plugin.traceback = traceback.format_exc()
        logger.warning("plugin %r (%s) failed to load: %s", entry.name, package, plugin.reason)
        if manager.has_plugin(entry.name):
            manager.unregister(name=entry.name)
    finally:
        _loading.pop()
    return plugin
