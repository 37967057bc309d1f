"""Tables as Markdown and CSV, and those of a whole results folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rexkit.evaluation.results_folder import TABLES, find_results
from rexkit.whole_files import ESCAPED, write_whole


def write_tables(folder: Path) -> None:
    """Write ``results.md`` and ``results.csv`` over all results in a folder.

    The Markdown has a table for each task, a row for each metric and a column for each data set;
    the CSV has a row for each metric: task, dataset, metric, value.

    Raises:
        FileNotFoundError: there are no results in it.
    """
    found = find_results(folder)
    sections = ["# Results\n"]
    for task in dict.fromkeys(task for task, _ in found):
        columns = {name: values for (t, name), values in found.items() if t == task}
        rows = [
            [metric, *(format_value(values.get(metric)) for values in columns.values())]
            for metric in dict.fromkeys(name for values in columns.values() for name in values)
        ]
        sections.append(f"## {task}\n\n{markdown(['metric', *columns], rows)}")
    as_markdown, as_csv = TABLES
    write_whole(folder / as_markdown, "\n".join(sections))
    write_csv(
        folder / as_csv,
        ["task", "dataset", "metric", "value"],
        [
            [task, name, metric, value]
            for (task, name), values in found.items()
            for metric, value in values.items()
        ],
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    r"""Return a Markdown table.

    Args:
        header: the cells of the first row.
        rows: the cells of the others.
        text_columns: how many columns, from the left, hold text; the others are aligned right.

    >>> print(markdown(["metric", "a|b"], [["f1@0.5", "0.9000"]]), end="")
    | metric | a\|b |
    | --- | ---: |
    | f1@0.5 | 0.9000 |
    """
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    lines = [_cells(header), f"| {' | '.join(rule)} |", *map(_cells, rows)]
    return "".join(f"{line}\n" for line in lines)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV table, UTF-8; a text that a spreadsheet would run as a formula is quoted."""
    cells = [[_no_formula(cell) for cell in row] for row in [header, *rows]]
    with path.open("w", newline="", encoding="utf-8", errors=ESCAPED) as file:
        csv.writer(file, lineterminator="\n").writerows(cells)


def format_value(value: float | None) -> str:
    """Format a metric value: whole numbers above 1 as they are, others with four decimals.

    A missing value is a dash.

    >>> format_value(0.91234), format_value(12.0), format_value(None)
    ('0.9123', '12', '–')
    """
    if value is None:
        return "–"
    return str(int(value)) if value > 1 and float(value).is_integer() else f"{value:.4f}"


def _no_formula(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.lstrip().startswith(("=", "+", "-", "@"))
    return f"'{cell}" if is_formula else cell


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
