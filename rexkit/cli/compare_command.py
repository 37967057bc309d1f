"""``rexkit compare DIR DIR…``: compare the results of several runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from rexkit.cli.options import start_logging
from rexkit.cli.terminal import Terminal

EPILOG = """
Differences are to the first run; the best of each row has a star, and is bold in Markdown. Folders
without metrics, as rexkit predict, GRPO and the public evaluation (answer.jsonl) leave them, are
compared by their records: problems, truncation, tokens, rewards.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, compare, print and write."""
    parser = argparse.ArgumentParser(prog="rexkit compare", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="results, or a work directory"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to it")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the values to it")
    args = parser.parse_args(argv)

    from rexkit.evaluation.comparison import compare
    from rexkit.evaluation.tables import markdown, write_csv
    from rexkit.whole_files import write_whole

    start_logging()
    comparison = compare(args.folders)
    table = Table()
    for number, name in enumerate(comparison.header):
        justify: Literal["left", "right"] = "left" if number < 3 else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row, cells in zip(comparison.rows, comparison.texts("* {}"), strict=True):
        styles = ["bold green" if best else "" for best in row.best]
        table.add_row(*cells[:3], *map(Text, cells[3:], styles))
    Terminal().print(table)
    if args.markdown:
        text = markdown(comparison.header, comparison.texts("**{}**"), text_columns=3)
        write_whole(args.markdown, text)
    if args.csv:
        rows = [[row.task, row.dataset, row.metric, *row.values] for row in comparison.rows]
        write_csv(args.csv, comparison.header, rows)
    return 0
