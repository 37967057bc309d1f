"""``rexkit plugins``: list installed plugins, their components, hooks and failures."""

from __future__ import annotations

import argparse

from rich.table import Table
from rich.text import Text

from rexkit.cli.terminal import Terminal
from rexkit.plugins import load_plugins


def main(argv: list[str] | None = None) -> int:
    """Print a table of plugins and the traceback of each that failed; exit code 1 if one did."""
    argparse.ArgumentParser(prog="rexkit plugins", description=__doc__).parse_args(argv)
    console = Terminal()
    plugins = load_plugins()
    if not plugins:
        console.print("No plugins are installed.")
        return 0
    table = Table("plugin", "package", "components", "hooks", "state")
    for plugin in plugins:
        components = "\n".join(f"{r}: {', '.join(n)}" for r, n in plugin.components.items())
        state = Text("failed", "red") if plugin.traceback else "loaded"
        hooks = "\n".join(plugin.hooks)
        table.add_row(plugin.name, plugin.package, components, hooks, state)
    console.print(table)
    failed = [plugin for plugin in plugins if plugin.traceback]
    for plugin in failed:
        console.rule(f"{plugin.name} ({plugin.package})")
        console.print(plugin.traceback)
    return 1 if failed else 0
