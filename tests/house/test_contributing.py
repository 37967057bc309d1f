"""The map in CONTRIBUTING.md names files that exist, and every room."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PATH = re.compile(r"`([\w./-]+/[\w.-]+\.\w+)`")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


QUESTIONS = [line for line in section("Where is what").splitlines() if line.startswith("| ")][2:]


def test_the_map_answers_25_questions():
    assert len(QUESTIONS) >= 25
    assert len({line.split("|")[1] for line in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("line", QUESTIONS, ids=lambda line: line.split("|")[1].strip())
def test_the_files_of_the_map_exist(line):
    files = PATH.findall(line.split("|")[2])
    assert files
    for file in files:
        assert (ROOT / file).is_file(), f"CONTRIBUTING.md: there is no {file}"


def test_every_room_is_in_the_table():
    named = set(re.findall(r"`([\w/]+)`", section("Rooms")))
    rooms = {path.parent.name for path in (ROOT / "rexkit").glob("*/__init__.py")}
    assert {room for room in rooms if not room.startswith("_")} <= named
