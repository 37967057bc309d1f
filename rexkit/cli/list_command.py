"""``rexkit list REGISTRY``: the components of a registry, with one line each."""

from __future__ import annotations

import argparse

from rich.table import Column, Table

from rexkit.cli.options import add_import_option, import_components
from rexkit.cli.terminal import Terminal
from rexkit.errors import ConfigError, did_you_mean
from rexkit.registry import REGISTRIES, one_line, origin
from rexkit.shipped_configs import config_folder, first_comment, shipped_configs


def main(argv: list[str] | None = None) -> int:
    """Print the components of a registry, or the names of all registries."""
    parser = argparse.ArgumentParser(prog="rexkit list", description=__doc__)
    parser.add_argument(
        "registry",
        nargs="?",
        help="such as REWARDS, or configs for those that rexkit ships; left out, all are named",
    )
    add_import_option(parser)
    args = parser.parse_args(argv)
    import_components(args)
    name = args.registry
    console = Terminal()
    if name is None:
        console.print("\n".join(REGISTRIES))
        return 0
    if name == "configs":
        configs = Table(
            Column("name", no_wrap=True), "what it is", title=f"configs in {config_folder()}"
        )
        for config_name, path in shipped_configs().items():
            configs.add_row(config_name, first_comment(path))
        console.print(configs)
        return 0
    if name.upper() not in REGISTRIES:
        raise ConfigError(f"no registry {name!r}; {did_you_mean(name, [*REGISTRIES, 'configs'])}")
    table = Table("name", "from", "description", title=name.upper())
    for component_name, component in sorted(REGISTRIES[name.upper()].components().items()):
        table.add_row(component_name, origin(component), one_line(component))
    console.print(table)
    return 0
