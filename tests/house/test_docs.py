"""The pages under docs/: what they say to type is typed, in an environment of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fresh_venv import ROOT, FreshVenv

from rexkit.interfaces import PROTOCOLS

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.\w+)\n")
SHORT = (
    "--cfg-options trainer.max_steps=2 trainer.per_device_train_batch_size=2 "
    "trainer.disable_tqdm=True trainer.save_strategy=no test_data.dataset.size=2"
)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    found = BLOCK.findall(page.read_text("utf-8"))
    assert found, f"{page} has no blocks"
    return found


def test_the_plugin_of_the_page_works(tmp_path: Path) -> None:
    venv = FreshVenv(tmp_path / "venv", cwd=tmp_path)
    said: dict[str, str] = {}
    files: dict[str, int] = {}
    for language, text in blocks(ROOT / "docs" / "plugins.md"):
        if language == "bash":
            for line in text.splitlines():
                said[line] = venv.succeed(f"{line} {SHORT}" if "train" in line else line)
            continue
        named = FILE.match(text)
        assert named, f"a block does not say which file it is:\n{text}"
        files[named[1]] = text.count("\n")
        (tmp_path / named[1]).parent.mkdir(exist_ok=True)
        (tmp_path / named[1]).write_text(text)
    assert "TASK_FNS: CornerTask" in said["rexkit plugins"]
    assert "Locate the top left corner of each object by a point." in said["rexkit list TASK_FNS"]
    metrics = json.loads((tmp_path / "work_dirs" / "corner" / "metrics.json").read_text())
    assert 0 <= metrics["f1"] <= 1
    assert sum(n for name, n in files.items() if "plugin-corner" in name) <= 45

    # The hook of the page is a module alone: with a file that makes it a plugin, it is called.
    diary = tmp_path / "rexkit-plugin-diary"
    corner = (tmp_path / "rexkit-plugin-corner" / "pyproject.toml").read_text()
    (diary / "pyproject.toml").write_text(corner.replace("corner", "diary"))
    venv.succeed("pip install ./rexkit-plugin-diary")
    call = (
        "from pathlib import Path; from rexkit.plugins import call_hook; "
        "call_hook('rexkit_results', metrics={'f1': 1.0}, work_dir=Path('.'))"
    )
    venv.succeed(f'python -c "{call}"')
    assert (tmp_path / "diary.txt").read_text() == "1 metrics\n"


EXTEND = ROOT / "docs" / "extend"
PAGES = sorted({page.stem for page in EXTEND.glob("*.md")} - {"README"})


@pytest.fixture(scope="module")
def shared_venv(tmp_path_factory: pytest.TempPathFactory) -> FreshVenv:
    return FreshVenv(tmp_path_factory.mktemp("extend") / "venv")


def run_page(page: Path, venv: FreshVenv) -> list[tuple[str, str]]:
    """Write the files of a page and run its commands: pairs of real and documented output."""
    compared, said = [], ""
    for language, text in blocks(page):
        if language == "text":
            compared.append((said, text))
        elif language == "bash":
            said = [venv.succeed(line) for line in text.splitlines()][-1]
        else:
            named = FILE.match(text)
            assert named, f"a block does not say which file it is:\n{text}"
            (venv.cwd / named[1]).parent.mkdir(exist_ok=True)
            (venv.cwd / named[1]).write_text(text)
    return compared


@pytest.mark.parametrize("page", PAGES)
def test_the_example_of_a_component_runs(page: str, shared_venv: FreshVenv, tmp_path: Path) -> None:
    shared_venv.cwd = tmp_path
    for said, written in run_page(EXTEND / f"{page}.md", shared_venv):
        assert said.endswith(written)  # packages may write warnings before it


def test_every_component_has_a_page_and_a_row() -> None:
    table = (EXTEND / "README.md").read_text("utf-8")
    for registry, (_, page) in PROTOCOLS.items():
        assert f"({page}.md) | `{registry}` |" in table
    assert {*re.findall(r"\((\w+)\.md\) \|", table)} == {*PAGES}


@pytest.mark.parametrize(
    "page",
    sorted([*ROOT.glob("plugins/README.md"), *ROOT.glob("plugins/*/README.md")]),
    ids=lambda p: p.parent.name,
)
def test_commands_and_paths_of_the_plugins_pages_exist(page: Path) -> None:
    from rexkit.cli import COMMANDS

    for language, text in blocks(page):
        for line in text.splitlines() if language == "bash" else ():
            words = line.split("#")[0].split()
            if words[0] == "rexkit":
                assert words[1] in COMMANDS, line
            for word in words:
                if "/" in word:
                    assert (ROOT / word).exists(), line
