"""``rexkit select DATA… --budget N``: rank images by what their annotation would teach a model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from rexkit.cli.options import (
    add_import_option,
    import_components,
    parse_override,
    start_logging,
)
from rexkit.cli.predict_command import parse_categories
from rexkit.cli.terminal import Terminal
from rexkit.errors import UserError

EPILOG = """
DATA is images, as for rexkit predict, which are predicted in two wordings of the question; or the
folders of several runs of rexkit predict on the same images, of other models or questions. An
image is uncertain where scores are low and where its predictions disagree. The best image is taken
again and again, by its uncertainty and its distance to those that are taken. OUT/selected.jsonl has
the predictions on the selected images, for rexkit convert, OUT/selected.txt their paths, and
OUT/ranking.csv the values of all images.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and select; exit code 1 if an image could not be used."""
    args = _parser().parse_args(argv)
    start_logging()
    import_components(args)
    console = Terminal(stderr=True)

    from rexkit.evaluation.image_selection import select_images
    from rexkit.inference.inputs import list_inputs

    files = [file for word in args.data if (file := _records(Path(word))) is not None]
    if files and len(files) < len(args.data):
        raise UserError(
            "DATA: some arguments are records of predictions, others images; give one kind"
        )

    def progress(found: Iterator[Any], total: int) -> Iterator[Any]:
        return iter(
            track(found, "comparing", total, console=console, disable=not console.is_terminal)
        )

    selection = select_images(
        files or _predict(args, console),
        args.budget,
        args.diversity,
        list_inputs(args.annotated) if args.annotated else [],
        progress,
    )
    selection.write(args.out)
    for path, reason in selection.failures.items():
        console.print(f"{path}: {reason}", soft_wrap=True)
    console.print(
        f"{len(selection.taken)} of {len(selection.images)} images selected, "
        f"{len(selection.failures)} could not be used: {args.out}",
        soft_wrap=True,
    )
    return 1 if selection.failures or not selection.taken else 0


def _records(path: Path) -> Path | None:
    """Return the records of predictions that a word names, or None."""
    from rexkit.formats.predictions import PREDICTIONS

    if path.suffix == ".jsonl":
        return path
    return path / PREDICTIONS if (path / PREDICTIONS).is_file() else None


def _predict(args: argparse.Namespace, console: Terminal) -> list[Path]:
    """Predict the images in two wordings of the question, and return the files of records."""
    from rexkit.formats.predictions import PREDICTIONS
    from rexkit.inference.file_prediction import finished, predict_files
    from rexkit.inference.inputs import is_video, list_inputs
    from rexkit.inference.predictor import Predictor

    paths = list_inputs(args.data)
    if videos := [path for path in paths if is_video(path)]:
        raise UserError(f"{videos[0]}: frames of a video have no file of their own; extract them")
    options: dict[str, Any] = dict(parse_override(word) for word in args.options)
    predictor = Predictor(args.model, args.backend, **options)
    run = {"model": args.model, "backend": args.backend, "options": options}
    questions = _questions(args.task, parse_categories(args.categories or ""))
    files = []
    for wording, question in questions.items():
        folder = args.out / f"{wording}_wording"
        job = predict_files(predictor, paths, folder, question, run=run, images=False)
        left = len({*paths} - finished(folder / PREDICTIONS))
        quiet = not console.is_terminal
        for _ in track(job, f"{wording} wording", left, console=console, disable=quiet):
            pass
        files.append(folder / PREDICTIONS)
    return files


def _questions(name: str, categories: list[str]) -> dict[str, dict[str, Any]]:
    """Return the question in two wordings: another template, the categories the other way round."""
    from rexkit.tasks.named import task_named

    task = task_named(name)
    first: dict[str, Any] = {"task": name, "categories": categories or None}
    wordings = {"first": first}
    if len(task.prompt_templates) > 1 or len(categories) > 1:
        other = type(task)(templates=[task.prompt_templates[-1]])
        wordings["second"] = {"task": other, "categories": categories[::-1] or None}
    return wordings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rexkit select", description=__doc__, epilog=EPILOG)
    parser.add_argument("data", nargs="+", metavar="DATA", help="images, or records of predictions")
    parser.add_argument("--budget", type=_positive, required=True, help="how many images to select")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--diversity",
        type=_share,
        default=0.5,
        help="weight of the distance between images, 0 to 1; the rest is that of the uncertainty",
    )
    parser.add_argument(
        "--annotated",
        nargs="+",
        default=[],
        metavar="IMAGES",
        help="images that have annotations already; the selected ones are unlike them",
    )
    parser.add_argument("--model", default="tiny", help='folder, hub id, or "tiny" (default)')
    parser.add_argument("--backend", default="transformers", help="transformers, vllm, openai, …")
    parser.add_argument("--task", default="detection", help="such as detection (default), pointing")
    parser.add_argument("--categories", help='what to look for: "cup, laptop", or a JSON list')
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="of the backend and the model, such as max_new_tokens=512",
    )
    add_import_option(parser)
    return parser


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _share(word: str) -> float:
    share = float(word)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {word}")
    return share
