"""No text of a file, a name or a model is markup or a control sequence in the terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.table import Table

import rexkit.cli
from rexkit.cli import main
from rexkit.cli.terminal import Terminal

TEXT = "[/x] [red]a\x1b[31mb\x9bc :smile:"
SHOWN = "[/x] [red]a\\x1b[31mb\\x9bc :smile:"


def test_strings_are_shown_as_they_are():
    file = io.StringIO()
    terminal = Terminal(file=file, width=200, force_terminal=True, color_system=None)
    table = Table(TEXT, title=TEXT)
    table.add_row(TEXT)
    terminal.print(table)
    terminal.print(TEXT, style="red")
    terminal.rule(TEXT)
    shown = file.getvalue()
    assert "\x1b[31m" not in shown
    assert shown.count(SHOWN) == 5


def test_commands_write_to_such_a_terminal():
    for path in Path(rexkit.cli.__file__).parent.glob("*.py"):
        if path.name != "terminal.py":
            assert not re.search(r"rich\.(console|markup)", path.read_text())


@pytest.mark.parametrize("words", [["analyse"], ["compare"], ["reward", "--reward", "format"]])
def test_names_in_results(tmp_path, words, capsys):
    folder = tmp_path / "[/x]\x1b[31m" / "box_eval" / "[/x]\x1b[31m"
    folder.mkdir(parents=True)
    record = {"source": TEXT, "raw_response": TEXT, "image_size": [8, 8], "phrases": ["[/x]"]}
    (folder / "predictions.jsonl").write_text(json.dumps(record) + "\n")
    (folder / "metrics.json").write_text(json.dumps({TEXT: 0.5}))
    place = [str(folder / "predictions.jsonl" if words[0] == "reward" else folder.parents[1])]
    assert main([words[0], *place, *words[1:]]) == 0
    out, error = capsys.readouterr()
    assert "\x1b" not in out + error
    assert "[/x]" in out
