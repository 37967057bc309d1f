"""The names that plugins may use: a list that changes only on purpose, and all that plugins use."""

from __future__ import annotations

import ast
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest
from paths import ROOT

import rexkit

LIST = Path(__file__).with_name("public_names.txt")
PRIVATE = {
    f"rexkit.{name}"
    for name in (
        "argument_types",
        "config_files",
        "lazy_names",
        "run_lengths",
        "shipped_configs",
        "whole_files",
    )
}
MODULES = [
    "rexkit",
    *(
        module.name
        for module in pkgutil.walk_packages(rexkit.__path__, "rexkit.")
        if module.name not in PRIVATE
        and "._" not in module.name
        and (module.ispkg or module.name.count(".") == 1)
    ),
]


def public_names() -> list[str]:
    """Every name in an ``__all__`` of the package, a room, or a module beside the rooms."""
    return [f"{name}.{public}" for name in MODULES for public in import_module(name).__all__]


def test_the_public_names_are_those_of_the_list():
    listed, found = LIST.read_text("utf-8").split(), sorted(public_names())
    gone, new = sorted(set(listed) - set(found)), sorted(set(found) - set(listed))
    assert not gone and not new, (  # noqa: PT018 - one message for both
        f"public names were removed {gone} or added {new}: if that is meant, change {LIST.name} "
        "and say so in CHANGELOG.md"
    )
    assert listed == sorted(set(listed)), f"{LIST.name} must be sorted, each name once"


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there(name):
    module = import_module(name)
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert not missing
    assert len(set(module.__all__)) == len(module.__all__)


def imported(source: str) -> list[str]:
    """What a source text imports of rexkit, as ``module.name``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] == "rexkit"]


def sources() -> list[tuple[str, str]]:
    """The sources of plugins and the Python blocks of the pages, each with its place."""
    plugins, docs = ROOT / "plugins", ROOT / "docs"
    files = [file for file in plugins.rglob("*.py") if "build" not in file.parts]
    found = [(str(file.relative_to(ROOT)), file.read_text("utf-8")) for file in files]
    for page in [ROOT / "README.md", *docs.rglob("*.md"), *plugins.rglob("*.md")]:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
        found += [(str(page.relative_to(ROOT)), block) for block in blocks]
    template = (ROOT / "rexkit" / "cli" / "new_plugin_command.py").read_text("utf-8")
    lines = re.findall(r"^from rexkit import .*|^from rexkit\.tasks import .*", template, re.M)
    assert len(lines) >= 2
    return [*found, ("rexkit new-plugin", "\n".join(lines))]


def test_plugins_and_pages_import_public_names_only():
    allowed = {*LIST.read_text("utf-8").split(), *MODULES}
    wrong = {
        place: names
        for place, source in sources()
        if (names := [name for name in imported(source) if name not in allowed])
    }
    assert not wrong
