"""``rexkit vis-tsv``: draw samples of TSV files, to check their annotations."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from rexkit.cli.terminal import Terminal
from rexkit.errors import UserError

EPILOG = """
Samples are spread evenly over the files, unless --indices or --seed choose others; an image is
named by the number of its row, from 0. Phrases known not to be in an image are listed below it.
Rows that cannot be used are listed, and the exit code is then 1.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and draw; return 1 if a row could not be used."""
    parser = argparse.ArgumentParser(prog="rexkit vis-tsv", description=__doc__, epilog=EPILOG)
    parser.add_argument("--img_tsv_file", type=Path, required=True, help="*.images.tsv")
    parser.add_argument("--ann_tsv_file", type=Path, required=True, help="*.annotations.tsv")
    parser.add_argument("--ann_lineidx_file", type=Path, required=True, help="*.lineidx")
    parser.add_argument("--output_dir", type=Path, help="folder for the images; --show needs none")
    parser.add_argument(
        "--num_samples", type=int, default=20, help="most images drawn; default: 20"
    )
    parser.add_argument(
        "--indices", type=int, nargs="+", metavar="ROW", help="draw these rows, numbered from 0"
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="draw a random choice of rows, the one that the public tool makes with this seed",
    )
    parser.add_argument(
        "--box_format",
        choices=("xyxy", "xywh", "cxcywh"),
        default="xyxy",
        help="what bbox means in the files",
    )
    parser.add_argument(
        "--font_size", type=int, help="of labels; default: by the size of the image"
    )
    parser.add_argument(
        "--show", action="store_true", help="open each image in the system's viewer"
    )
    args = parser.parse_args(argv)
    if args.num_samples < 1:
        parser.error(f"--num_samples must be at least 1, got {args.num_samples}")
    if args.font_size is not None and args.font_size < 1:
        parser.error(f"--font_size must be at least 1, got {args.font_size}")
    if args.output_dir is None and not args.show:
        parser.error("--output_dir is required, or --show")

    from rexkit.datasets.tsv_dataset import TSVDataset
    from rexkit.errors import DataError
    from rexkit.visualizers import PillowVisualizer

    dataset = TSVDataset(
        args.img_tsv_file, args.ann_tsv_file, args.ann_lineidx_file, args.box_format
    )
    rows = choose_rows(len(dataset), args.num_samples, args.indices, args.seed)
    visualizer = PillowVisualizer(show_absent=True, font_size=args.font_size)
    if args.output_dir is not None:
        args.output_dir.mkdir(parents=True, exist_ok=True)
    console = Terminal(stderr=True)
    failures = []
    for index in track(rows, "drawing", console=console, disable=not console.is_terminal):
        try:
            sample, _, _ = dataset.stored(index)
        except DataError as error:
            failures.append(str(error))
            continue
        image = visualizer.draw(sample.image, sample.annotation)
        if args.output_dir is not None:
            image.save(args.output_dir / f"{index:05d}.png")
        if args.show:
            image.show(title=sample.source)
    for failure in failures:
        console.print(failure, soft_wrap=True)
    place = "" if args.output_dir is None else f" in {args.output_dir}"
    drawn = f"{len(rows) - len(failures)} of {len(dataset)} samples drawn{place}"
    console.print(drawn, soft_wrap=True)
    return 1 if failures or not rows else 0


def choose_rows(
    length: int, number: int, indices: Sequence[int] | None = None, seed: int | None = None
) -> list[int]:
    """Return the rows to draw: those given, a random choice, or evenly spread ones.

    Args:
        length: number of rows in the files.
        number: the most rows.
        indices: rows that are drawn whatever the other arguments say, each once.
        seed: of the random choice, which is that of the public tool.

    Raises:
        UserError: one of ``indices`` is not a row.

    >>> choose_rows(9, 3), choose_rows(9, 3, [8, 0]), choose_rows(9, 3, seed=42)
    ([0, 3, 6], [8, 0], [3, 6, 7])
    """
    if indices is not None:
        for index in indices:
            if not 0 <= index < length:
                raise UserError(f"--indices: there is no row {index}, the files have {length}")
        return list(dict.fromkeys(indices))
    if seed is not None:
        shuffled = list(range(length))
        random.Random(seed).shuffle(shuffled)
        return shuffled[:number]
    number = min(number, length)
    return [step * length // number for step in range(number)]
