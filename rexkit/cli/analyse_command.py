"""``rexkit analyse DIR``: count the faults of predictions, and show the worst samples on a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from rexkit.cli.options import add_import_option, import_components, start_logging
from rexkit.cli.terminal import Terminal

EPILOG = """
DIR holds the results of rexkit test, a training's work directory, the predictions of rexkit
predict, the completions of GRPO, or answer.jsonl of the public Rex-Omni evaluation; without ground
truth only faults of the text and of phrases are counted. The page is one HTML file with the images
in it. They are loaded with the config.json in DIR or above it, or from the files that the records
name.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments, analyse, print and write the page."""
    parser = argparse.ArgumentParser(prog="rexkit analyse", description=__doc__, epilog=EPILOG)
    parser.add_argument("folder", type=Path, metavar="DIR", help="results, or a file of records")
    parser.add_argument("--html", type=Path, metavar="FILE", help="default: DIR/analysis.html")
    parser.add_argument("--worst", type=int, default=20, help="number of samples; default: 20")
    parser.add_argument("--iou", type=float, default=0.5, help="of a right box; default: 0.5")
    add_import_option(parser)
    args = parser.parse_args(argv)
    if not 0 < args.iou <= 1:
        parser.error(f"--iou must be above 0 and at most 1, got {args.iou}")

    from rexkit.evaluation import analyse, write_page

    start_logging()
    import_components(args)
    analysis = analyse(args.folder, args.worst, args.iou)
    console = Terminal()
    console.print(counts(analysis.table()))
    worst = Table("faults", "sample", "kinds", title="worst samples")
    for case in analysis.worst:
        kinds = ", ".join(dict.fromkeys(fault.kind for fault in case.faults))
        worst.add_row(str(len(case.faults)), case.record.source, kinds)
    console.print(worst)

    from rexkit.evaluation.sample_images import SampleImages

    page = args.html or analysis.root / "analysis.html"
    write_page(page, f"Faults in {args.folder}", analysis, SampleImages(analysis.root))
    console.print(f"the page is {page}", soft_wrap=True)
    return 0


def counts(cells: tuple[list[str], list[list[str]]]) -> Table:
    """Return the table of counts for a terminal."""
    header, rows = cells
    table = Table(title="faults")
    for number, name in enumerate(header):
        wide = number in (0, len(header) - 1)
        table.add_column(name, justify="left" if wide else "right")
    for row in rows:
        table.add_row(*row)
    return table
