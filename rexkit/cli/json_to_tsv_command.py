"""``tools/convert_json_data_to_tsv.py``: JSONL or COCO JSON, with images, to three TSV files."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.progress import track

from rexkit.cli.terminal import Terminal

if TYPE_CHECKING:
    from rexkit.datasets import RowDataset
    from rexkit.datasets.row_failures import RowFailures

EPILOG = """
JSONL rows are {"image_name": PATH, "annotation": RECORD}; the record is stored as it is, but for
coordinates that are not x0 y0 x1 y1 in pixels of the upright image, which are converted. Of COCO
JSON, keypoints are stored by name; of LVIS JSON, negative categories too. Boxes that leave their
image are counted; they are clamped when the record is read. JPEG files are stored as they are if
they are baseline or progressive, RGB and upright; other images are encoded again. Rows that cannot
be used are counted, the first of those that are alike is shown, and the exit code is then 1; the
others are written all the same. The files appear together at the end. A conversion that was killed
goes on where it was, when it is started again with the same words.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and convert; return 1 if a row could not be used."""
    from rexkit.cli.options import start_logging
    from rexkit.datasets.row_counts import describe_clamped
    from rexkit.errors import UserError

    args = _parser().parse_args(argv)
    start_logging()
    dataset = _open(args)
    console = Terminal(stderr=True)
    try:
        rows, failures, unnamed = _convert(dataset, args, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where it was")
        return 130
    except OSError as error:
        files = ", ".join(map(str, _files(args)))
        raise UserError(
            f"{files}: cannot be written ({error.strerror or error}); nothing is left of them, and "
            "files of the names from before are as they were"
        ) from error
    messages = failures.describe()
    if unnamed:
        messages.append(
            f"{unnamed} rows have keypoints whose names the file does not list; they are stored as "
            "numbers, which tasks do not use"
        )
    if dataset.clamped_boxes:
        report = describe_clamped(dataset.clamped_boxes, dataset.clamped_rows)
        messages.append(f"when read, {report}")
    for message in messages:
        console.print(message, soft_wrap=True)
    console.print(f"{rows} rows written, {failures.total} could not be used")
    return 1 if failures.total or not rows else 0


def _convert(
    dataset: RowDataset, args: argparse.Namespace, console: Terminal
) -> tuple[int, RowFailures, int]:
    """Write the files; return how many rows, failures, and rows with keypoints without names."""
    from rexkit.datasets.row_failures import RowFailures
    from rexkit.errors import DataError
    from rexkit.formats.images import image_bytes_to_store
    from rexkit.formats.tsv import TSVWriter

    with TSVWriter(*_files(args), identity=_identity(args)) as writer:
        groups, unnamed = writer.state or ({}, 0)
        failures = RowFailures(groups)
        if writer.done:
            console.print(f"going on after {writer.done} of {len(dataset)} rows")
        left = range(writer.done, len(dataset))
        for index in track(left, "converting", console=console, disable=not console.is_terminal):
            try:
                sample, record, image = dataset.stored(index)
            except DataError as error:
                failures.add(error)
            else:
                unnamed += _has_unnamed_keypoints(record)
                writer.write(image_bytes_to_store(image, sample.image), record)
            writer.checkpoint(index + 1, [failures.groups, unnamed])
        if writer.rows:
            writer.commit()
    return writer.rows, failures, unnamed


def _parser() -> argparse.ArgumentParser:
    from rexkit.datasets import Coordinates, Orientation
    from rexkit.formats import BoxFormat

    parser = argparse.ArgumentParser(
        prog="convert_json_data_to_tsv.py", description=__doc__, epilog=EPILOG
    )
    parser.add_argument("--json_file", type=Path, required=True, help="JSONL or COCO JSON")
    parser.add_argument("--image_root_path", type=Path, required=True, help="folder of the images")
    parser.add_argument("--save_image_tsv_path", type=Path, required=True, help="*.images.tsv")
    parser.add_argument("--save_ann_tsv_path", type=Path, required=True, help="*.annotations.tsv")
    parser.add_argument("--save_ann_lineidx_path", type=Path, required=True, help="*.lineidx")
    parser.add_argument(
        "--format", choices=("jsonl", "coco", "lvis"), help="default: by the keys of the file"
    )
    parser.add_argument(
        "--box_format",
        choices=get_args(BoxFormat),
        help="what bbox means in the file; default: xyxy, or xywh in COCO JSON",
    )
    parser.add_argument(
        "--coordinates",
        choices=get_args(Coordinates),
        help="pixels, or the range that stands for the image's width and height; "
        "default: pixels, refused where they seem to be something else",
    )
    parser.add_argument(
        "--orientation",
        choices=get_args(Orientation),
        help="whether coordinates refer to the image turned upright by its EXIF orientation, or to "
        "the pixels as stored; default: upright",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="every category of the COCO JSON was looked for in every image: those without an "
        "annotation are stored as absent",
    )
    return parser


def _open(args: argparse.Namespace) -> RowDataset:
    from rexkit.datasets import CocoDataset, JsonlDataset, LvisDataset
    from rexkit.datasets.coco_dataset import NAMES_OF_FILE
    from rexkit.errors import ConfigError
    from rexkit.formats.coco import is_coco
    from rexkit.formats.lvis import is_lvis

    kind = args.format
    if kind is None:
        kind = "jsonl" if not is_coco(args.json_file) else "coco"
        kind = "lvis" if kind == "coco" and is_lvis(args.json_file) else kind
    options: dict[str, Any] = {
        "box_format": args.box_format,
        "coordinates": args.coordinates,
        "orientation": args.orientation,
        "exhaustive": args.exhaustive or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    accepted = {
        "jsonl": {"box_format", "coordinates", "orientation"},
        "coco": {"box_format", "coordinates", "orientation", "exhaustive"},
        "lvis": {"orientation"},
    }[kind]
    if strange := sorted(given.keys() - accepted):
        raise ConfigError(f"--{strange[0]} is not for {kind} files; leave it out, or set --format")
    if kind == "coco":
        return CocoDataset(args.json_file, args.image_root_path, keypoints=NAMES_OF_FILE, **given)
    return (LvisDataset if kind == "lvis" else JsonlDataset)(
        args.json_file, args.image_root_path, **given
    )


def _files(args: argparse.Namespace) -> tuple[Path, Path, Path]:
    return args.save_image_tsv_path, args.save_ann_tsv_path, args.save_ann_lineidx_path


def _identity(args: argparse.Namespace) -> str:
    """Return what must be the same for a conversion to go on: its words, and the file's state."""
    status = args.json_file.stat()
    words = {name: str(value) for name, value in vars(args).items()}
    words["json_file"] = str(args.json_file.resolve())
    state = [sorted(words.items()), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(state).encode()).hexdigest()


def _has_unnamed_keypoints(record: Any) -> bool:
    boxes = record.get("boxes", []) if isinstance(record, dict) else []
    return any(isinstance(b.get("keypoints"), list) and any(b["keypoints"]) for b in boxes)
