"""``rexkit convert``: turn JSONL or COCO JSON, with a folder of images, into TSV files."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

EPILOG = """
JSONL rows are {"image_name": PATH, "annotation": RECORD}; the record is stored as it is. Boxes that
leave their image are counted; they are clamped when the record is read. JPEG files are stored as
they are if they are baseline or progressive, RGB and upright; other images are encoded again. Rows
that cannot be used are listed, and the exit code is then 1; the others are written all the same.
The files appear together at the end.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and convert; return 1 if a row could not be used."""
    parser = argparse.ArgumentParser(prog="rexkit convert", description=__doc__, epilog=EPILOG)
    parser.add_argument("--json_file", type=Path, required=True, help="JSONL or COCO JSON")
    parser.add_argument("--image_root_path", type=Path, required=True, help="folder of the images")
    parser.add_argument("--save_image_tsv_path", type=Path, required=True, help="*.images.tsv")
    parser.add_argument("--save_ann_tsv_path", type=Path, required=True, help="*.annotations.tsv")
    parser.add_argument("--save_ann_lineidx_path", type=Path, required=True, help="*.lineidx")
    parser.add_argument("--format", choices=("jsonl", "coco"), help="default: by content")
    args = parser.parse_args(argv)

    from rexkit.datasets.coco_dataset import CocoDataset
    from rexkit.datasets.jsonl_dataset import JsonlDataset
    from rexkit.datasets.row_counts import describe_clamped
    from rexkit.errors import DataError
    from rexkit.formats.coco import is_coco
    from rexkit.formats.images import image_bytes_to_store
    from rexkit.formats.tsv import TSVWriter

    coco = is_coco(args.json_file) if args.format is None else args.format == "coco"
    dataset = (CocoDataset if coco else JsonlDataset)(args.json_file, args.image_root_path)
    console = Console(stderr=True)
    rows = track(
        range(len(dataset)), "converting", console=console, disable=not console.is_terminal
    )
    failures = []
    with TSVWriter(
        args.save_image_tsv_path, args.save_ann_tsv_path, args.save_ann_lineidx_path
    ) as writer:
        for index in rows:
            try:
                sample, record, image = dataset.stored(index)
            except DataError as error:
                failures.append(str(error))
            else:
                writer.write(image_bytes_to_store(image, sample.image), record)
        if writer.rows:
            writer.commit()
    for failure in failures:
        console.print(failure, markup=False, highlight=False, soft_wrap=True)
    if dataset.clamped_boxes:
        report = describe_clamped(dataset.clamped_boxes, dataset.clamped_rows)
        console.print(f"when read, {report}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{writer.rows} rows written, {len(failures)} could not be used")
    return 1 if failures or not writer.rows else 0
