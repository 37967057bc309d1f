"""The version: in one place, printed by ``rexkit --version``, with a section in the changelog."""

from __future__ import annotations

import platform
import re
import tomllib
from importlib.metadata import version

from paths import ROOT

import rexkit
from rexkit.cli import main


def test_it_is_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "rexkit.__version__"}


def test_the_command_prints_what_a_bug_report_needs(capsys):
    assert main(["--version"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"rexkit {rexkit.__version__} (Python {platform.python_version()}, ")
    assert f"torch {version('torch')}" in line
    assert line.count("\n") == 1


def test_the_changelog_has_a_dated_section_of_it():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    released = [section for section in sections if section != "[Unreleased]"]
    assert re.fullmatch(rf"\[{re.escape(rexkit.__version__)}\] - \d{{4}}-\d\d-\d\d", released[0]), (
        released[0]
    )
