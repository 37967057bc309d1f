"""``rexkit vis-tsv``: draw samples of TSV files, to check their annotations."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

EPILOG = """
Samples are spread evenly over the files; an image is named by the number of its row, from 0.
Phrases known not to be in an image are listed below it. Rows that cannot be used are listed, and
the exit code is then 1.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and draw; return 1 if a row could not be used."""
    parser = argparse.ArgumentParser(prog="rexkit vis-tsv", description=__doc__, epilog=EPILOG)
    parser.add_argument("--img_tsv_file", type=Path, required=True, help="*.images.tsv")
    parser.add_argument("--ann_tsv_file", type=Path, required=True, help="*.annotations.tsv")
    parser.add_argument("--ann_lineidx_file", type=Path, required=True, help="*.lineidx")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for the images")
    parser.add_argument(
        "--num_samples", type=int, default=20, help="most images drawn; default: 20"
    )
    args = parser.parse_args(argv)
    if args.num_samples < 1:
        parser.error(f"--num_samples must be at least 1, got {args.num_samples}")

    from rexkit.datasets.tsv_dataset import TSVDataset
    from rexkit.errors import DataError
    from rexkit.visualizers import PillowVisualizer

    dataset = TSVDataset(args.img_tsv_file, args.ann_tsv_file, args.ann_lineidx_file)
    visualizer = PillowVisualizer(show_absent=True)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    number = min(args.num_samples, len(dataset))
    console = Console(stderr=True)
    failures = []
    for step in track(range(number), "drawing", console=console, disable=not console.is_terminal):
        index = step * len(dataset) // number
        try:
            sample, _, _ = dataset.stored(index)
        except DataError as error:
            failures.append(str(error))
        else:
            image = visualizer.draw(sample.image, sample.annotation)
            image.save(args.output_dir / f"{index:05d}.png")
    for failure in failures:
        console.print(failure, markup=False, highlight=False, soft_wrap=True)
    drawn = f"{number - len(failures)} of {len(dataset)} samples drawn in {args.output_dir}"
    console.print(drawn, markup=False, highlight=False, soft_wrap=True)
    return 1 if failures or not number else 0
