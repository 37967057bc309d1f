"""The house plan: imports run downward, and light rooms stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rexkit

PACKAGE = Path(rexkit.__file__).parent

# From the ground up: a room may import the rooms before it.
ROOMS = [
    *("lazy_names", "errors", "structures", "phrases", "keypoints", "run_lengths"),
    *("geometry", "instances"),
    *("edit_distance", "whole_files"),
    *("interfaces", "argument_types", "component_arguments", "component_check"),
    *("plugins", "registry"),
    *("shipped_configs", "config_files", "config"),
    *("grammar", "formats", "datasets"),
    *("tasks", "parsers", "rewards", "metrics", "visualizers", "maskers"),
    *("mixing", "examples", "conversion"),
    *("_compat", "models", "packing", "backends", "inference", "compat", "evaluation", "training"),
    *("source_check", "run", "jobs", "cli"),
]
# Rooms whose modules import no torch; below them only inference.result does not.
LIGHT = [*ROOMS[: ROOMS.index("_compat")], "compat", "evaluation", "cli"]


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "rexkit" and len(parts) > 1 else None


def imports_at_import_time(file: Path) -> set[str]:
    """Modules of rexkit that a file imports when it is imported itself."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            if isinstance(child, ast.ImportFrom) and child.module:
                found.add(child.module)
            visit(child)

    visit(ast.parse(file.read_text("utf-8")))
    return {name for name in found if name.split(".")[0] == "rexkit"}


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_imports_run_downward_only(file):
    own = room_of(".".join(("rexkit", *file.relative_to(PACKAGE).with_suffix("").parts)))
    if own == "__init__":
        return
    for module in imports_at_import_time(file):
        room = room_of(module)
        assert room is None or room == own or ROOMS.index(room) < ROOMS.index(own), module


def test_light_rooms_import_no_torch():
    files = [f for f in PACKAGE.rglob("*.py") if f.name != "__main__.py"]
    modules = [".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts) for f in files]
    light = [m.removesuffix(".__init__") for m in sorted(modules) if room_of(m) in LIGHT]
    assert len(light) > 90
    code = (
        "import importlib, sys\n"
        f"for module in {['rexkit', *light, 'rexkit.inference.result']}:\n"
        "    importlib.import_module(module)\n"
        "    heavy = {'torch', 'transformers', 'trl', 'vllm', 'ray'} & sys.modules.keys()\n"
        "    assert not heavy, f'{module} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_two_modules_share_a_file_name():
    places: dict[str, list[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        if file.name not in ("__init__.py", "__main__.py"):
            places.setdefault(file.name, []).append(str(file.relative_to(PACKAGE)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_import_rexkit_adds_little_to_the_registry():
    code = (
        "import time, mmengine.registry; start = time.perf_counter(); import rexkit; "
        "print(time.perf_counter() - start)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(runs) < 0.25
