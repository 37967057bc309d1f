"""The table of benchmarks has a row for each, and results are written into their row."""

from __future__ import annotations

import runpy

from paths import ROOT

PAGE = ROOT / "benchmarks" / "README.md"
COMMAND = runpy.run_path(str(PAGE.with_name("__main__.py")), run_name="benchmarks.__main__")
listed, with_results = COMMAND["listed"], COMMAND["with_results"]


def test_every_benchmark_has_a_row():
    modules = {path.stem for path in PAGE.parent.glob("*.py")} - {"__init__", "__main__"}
    assert set(listed(PAGE.read_text("utf-8"))) == modules


def test_results_are_written_into_their_row_only():
    page = PAGE.read_text("utf-8")
    changed = with_results(page, "read", {"3x4_us": 12.5}, "here")
    different = [
        (old, new)
        for old, new in zip(page.splitlines(), changed.splitlines(), strict=True)
        if old != new
    ]
    [(old, new)] = different
    assert new.endswith("| `python -m benchmarks.read` | `3x4_us` 12.5 | here |")
    assert old.split("|")[1:3] == new.split("|")[1:3]
    assert with_results(page, "none", {"a": 1}, "here") == page
