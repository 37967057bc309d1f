"""``rexkit convert``: turn a data set of annotated images into another format."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.progress import track

from rexkit.cli.options import add_import_option, import_components, start_logging
from rexkit.cli.terminal import Terminal
from rexkit.errors import ConfigError

if TYPE_CHECKING:
    from rexkit.conversion import ConversionReport

EPILOG = """
The format of SRC is recognised by its content, and named. DST is a new folder; images are copied to
it. What the other format cannot hold is counted and reported, and so are rows that cannot be used,
alike ones together; the exit code is then 1 for unusable rows, the others are written all the same.
A conversion that was killed goes on when the same command is given again.
With --json_file the arguments are those of tools/convert_json_data_to_tsv.py.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and convert; return 1 if a row could not be used."""
    from rexkit.cli import json_to_tsv_command
    from rexkit.conversion import convert, find_format
    from rexkit.conversion.conversion import identity_of

    words = sys.argv[1:] if argv is None else argv
    if any(word.split("=")[0] == "--json_file" for word in words):
        return json_to_tsv_command.main(words)
    args = _parser().parse_args(words)
    start_logging()
    import_components(args)
    console = Terminal(stderr=True)
    name, source, seen = find_format(args.source, args.source_format)
    console.print(f"{args.source}: {name} ({seen})", soft_wrap=True)
    _, target, _ = find_format(args.source, args.target_format)
    splits = source.open(args.source, args.images, **_options(args, name, source.options))
    writer = target.writer(args.target, [*splits])
    writer.predicted = source.predicted

    def progress(numbers: Iterator[int], total: int) -> Iterator[int]:
        return iter(
            track(numbers, "converting", total, console=console, disable=not console.is_terminal)
        )

    settings = {key: value for key, value in vars(args).items() if key != "workers"}
    try:
        report = convert(
            splits,
            writer,
            identity_of(settings, args.source),
            args.workers,
            args.link,
            progress,
        )
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where it was")
        return 130
    for line in report.describe(writer):
        console.print(line, soft_wrap=True)
    console.print(_summary(report, args.target), soft_wrap=True)
    return 1 if report.failures.total or not report.rows else 0


def _summary(report: ConversionReport, target: Path) -> str:
    images = sum(report.rows.values())
    splits = ", ".join(f"{split} {number}" for split, number in report.rows.items() if split)
    listed = f" ({splits})" if splits else ""
    return f"{target}: {images} images{listed}, {report.failures.total} rows could not be used"


def _options(args: argparse.Namespace, name: str, accepted: frozenset[str]) -> dict[str, Any]:
    """Return the arguments of the data set that were given, which its format must accept."""
    names = ("box_format", "coordinates", "orientation", "exhaustive")
    given = {option: value for option in names if (value := getattr(args, option))}
    if refused := [option for option in given if option not in accepted]:
        listed = ", ".join(f"--{option}" for option in sorted(accepted)) or "none of these flags"
        raise ConfigError(f"--{refused[0]}: {name} does not accept it; it accepts {listed}")
    return given


def _parser() -> argparse.ArgumentParser:
    from rexkit.datasets import Coordinates, Orientation
    from rexkit.formats import BoxFormat

    parser = argparse.ArgumentParser(prog="rexkit convert", description=__doc__, epilog=EPILOG)
    parser.add_argument("source", type=Path, metavar="SRC", help="a file or folder")
    parser.add_argument("target", type=Path, metavar="DST", help="a new folder")
    parser.add_argument(
        "--from", dest="source_format", metavar="FORMAT", help="default: recognised"
    )
    parser.add_argument(
        "--to",
        dest="target_format",
        metavar="FORMAT",
        default="jsonl",
        help="`rexkit list FORMATS` lists them; default: jsonl, which holds everything",
    )
    parser.add_argument("--images", type=Path, help="the folder of the images, if not beside SRC")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one a core"
    )
    parser.add_argument(
        "--link", action="store_true", help="make hard links to images in place of copies"
    )
    parser.add_argument("--box_format", choices=get_args(BoxFormat), help="what bbox means in SRC")
    parser.add_argument(
        "--coordinates",
        choices=get_args(Coordinates),
        help="pixels, or the range that stands for the image's width and height",
    )
    parser.add_argument(
        "--orientation",
        choices=get_args(Orientation),
        help="whether coordinates refer to images turned upright by their EXIF orientation, or to "
        "the pixels as stored",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="every category was looked for in every image: those without an instance are absent",
    )
    add_import_option(parser)
    return parser
