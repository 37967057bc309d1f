"""The pages that explain how to extend rexkit: their files are written, their commands run."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from fresh_venv import ROOT, FreshVenv

from rexkit.interfaces import PROTOCOLS

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.\w+)\n")
SHORT = (
    "--cfg-options trainer.max_steps=1 trainer.per_device_train_batch_size=2 "
    "trainer.disable_tqdm=True trainer.save_strategy=no trainer.dataloader_num_workers=0 "
    "test_before=False num_images=1 test_data.dataset.size=2 backend.max_new_tokens=8"
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


def run_page(page: Path, folder: Path, run: Callable[[str], str]) -> list[tuple[str, str]]:
    """Write the files of a page and run its commands: pairs of real and documented output."""
    compared, said = [], ""
    for language, text in blocks(page):
        if language == "text":
            compared.append((said, text))
        elif language == "bash":
            said = [run(line) for line in text.splitlines()][-1]
        else:
            named = FILE.match(text)
            assert named, f"a block does not say which file it is:\n{text}"
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(text)
    return compared


def run_here(line: str) -> str:
    """Run a script in this process, which has imported what all of them need."""
    program, file = line.split()
    assert program == "python"
    with redirect_stdout(StringIO()) as said:
        runpy.run_path(file, run_name="__main__")
    return said.getvalue()


@pytest.mark.usefixtures("own_components")
@pytest.mark.parametrize("page", PAGES)
def test_the_example_of_a_component_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    installs = "pip install" in (EXTEND / f"{page}.md").read_text("utf-8")
    run = FreshVenv(tmp_path / "venv", cwd=tmp_path).succeed if installs else run_here
    compared = run_page(EXTEND / f"{page}.md", tmp_path, run)
    assert compared
    for said, written in compared:
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
