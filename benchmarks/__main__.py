"""Run benchmarks and write their results into ``benchmarks/README.md``.

    python -m benchmarks                     # all benchmarks of the table
    python -m benchmarks read inference --where "2 cores, one thread"

Each benchmark runs in a process of its own, one after the other; its last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parent / "README.md"
COMMAND = re.compile(r"`python -m benchmarks\.(\w+)([^`]*)`")


def listed(page: str) -> dict[str, list[str]]:
    """Return the benchmarks in the table of a page, each with its command-line arguments."""
    rows = (COMMAND.search(line) for line in page.splitlines() if line.startswith("|"))
    return {found[1]: found[2].split() for found in rows if found}


def with_results(page: str, name: str, record: Mapping[str, object], where: str) -> str:
    """Return the page with new results in the row of a benchmark.

    >>> page = "| reading | `python -m benchmarks.read` | old | there |"
    >>> with_results(page, "read", {"us": 7, "share": 0.5}, "here")
    '| reading | `python -m benchmarks.read` | `us` 7, `share` 0.5 | here |'
    """
    results = ", ".join(f"`{key}` {value}" for key, value in record.items())
    lines = page.splitlines(keepends=True)
    for number, line in enumerate(lines):
        found = COMMAND.search(line)
        if line.startswith("|") and found and found[1] == name:
            what, command = line.split("|")[1:3]
            end = "\n" if line.endswith("\n") else ""
            lines[number] = f"|{what}|{command}| {results} | {where} |{end}"
    return "".join(lines)


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="the benchmarks to run; by default all in the table"
    )
    parser.add_argument("--where", default="", help="a short description of the machine")
    args = parser.parse_args()
    known = listed(PAGE.read_text("utf-8"))
    for name in args.names or known:
        if name not in known:
            parser.error(f"unknown benchmark {name!r}; the table has {', '.join(known)}")
        command = [sys.executable, "-m", f"benchmarks.{name}", *known[name]]
        print("+", " ".join(command), flush=True)
        lines = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        if process.returncode:
            raise SystemExit(f"{name} failed")
        record = json.loads(lines[-1])
        PAGE.write_text(with_results(PAGE.read_text("utf-8"), name, record, args.where), "utf-8")


if __name__ == "__main__":
    main()
