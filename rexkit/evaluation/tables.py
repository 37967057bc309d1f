"""Tables as Markdown and CSV, and the table over everything in a results folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rexkit.evaluation.results_folder import find_results


def write_tables(folder: Path) -> None:
    """Write ``results.md`` and ``results.csv`` over everything that is found in a folder.

    The Markdown has a table for each task, a row for each figure and a column for each data set;
    the CSV has a row for each figure: task, dataset, figure, value.

    Raises:
        FileNotFoundError: there are no results in it.
    """
    found = find_results(folder)
    sections = ["# Results\n"]
    for task in dict.fromkeys(task for task, _ in found):
        figures = {name: column for (t, name), column in found.items() if t == task}
        rows = [
            [row, *(format_value(column.get(row)) for column in figures.values())]
            for row in dict.fromkeys(name for column in figures.values() for name in column)
        ]
        sections.append(f"## {task}\n\n{markdown(['figure', *figures], rows)}")
    (folder / "results.md").write_text("\n".join(sections), "utf-8")
    write_csv(
        folder / "results.csv",
        ["task", "dataset", "figure", "value"],
        [
            [task, name, figure, value]
            for (task, name), figures in found.items()
            for figure, value in figures.items()
        ],
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    r"""A Markdown table; columns after the first few, which hold words, are aligned to the right.

    >>> print(markdown(["figure", "a|b"], [["f1@0.5", "0.9000"]]), end="")
    | figure | a\|b |
    | --- | ---: |
    | f1@0.5 | 0.9000 |
    """
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    lines = [_cells(header), f"| {' | '.join(rule)} |", *map(_cells, rows)]
    return "".join(f"{line}\n" for line in lines)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV table, UTF-8."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def format_value(value: float | None) -> str:
    """A figure for people: a count as it is, others with four decimals, a missing one as a dash.

    >>> format_value(0.91234), format_value(12.0), format_value(None)
    ('0.9123', '12', '–')
    """
    if value is None:
        return "–"
    return str(int(value)) if value > 1 and float(value).is_integer() else f"{value:.4f}"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
