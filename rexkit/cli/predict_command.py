"""``rexkit predict IMAGES…``: predict for images and videos."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import track

from rexkit.cli.options import (
    add_import_option,
    import_components,
    parse_component,
    parse_override,
    start_logging,
)
from rexkit.cli.terminal import Terminal
from rexkit.errors import UserError

EPILOG = """
Writes predictions.jsonl with a record for each image, and images/ with the predictions drawn.
Coordinates are pixels of the original image, after its EXIF orientation. A run that was stopped
continues where it stopped when it is started again with the same arguments. Images that cannot be
used are listed, and the exit code is then 1.
"""


def parse_categories(text: str) -> list[str]:
    """Return the categories of ``--categories``: a JSON list, or words between commas.

    Raises:
        UserError: it begins as a JSON list of texts, and is none.

    >>> parse_categories("cup, laptop"), parse_categories('["red, shiny square"]')
    (['cup', 'laptop'], ['red, shiny square'])
    """
    if not text.lstrip().startswith("["):
        return [word for word in map(str.strip, text.split(",")) if word]
    try:
        categories = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--categories: {text[:80]!r} is not a JSON list ({error})") from error
    if not all(isinstance(category, str) for category in categories):
        raise UserError(f"--categories: {text[:80]!r} must be a list of texts")
    return list(categories)


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and predict; exit code 1 if an image could not be used."""
    parser = argparse.ArgumentParser(prog="rexkit predict", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "images",
        nargs="+",
        help="images, URLs, folders, globs, videos, or .txt files with a path per line",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the predictions")
    parser.add_argument("--model", default="tiny", help='folder, hub id, or "tiny" (default)')
    parser.add_argument("--backend", default="transformers", help="transformers, vllm, openai, …")
    parser.add_argument("--task", default="detection", help="such as detection (default), pointing")
    parser.add_argument(
        "--categories",
        help='what to look for: "cup, laptop", or a JSON list where a category has a comma',
    )
    parser.add_argument("--keypoint-type", help="keypoint schema, such as person")
    parser.add_argument(
        "--visual-prompt-boxes",
        type=json.loads,
        help='reference boxes in pixels: "[[x0, y0, x1, y1]]"',
    )
    parser.add_argument("--every", type=int, default=1, help="every N-th frame of a video")
    parser.add_argument("--batch-size", type=int, help="number of images in a batch")
    parser.add_argument("--no-images", action="store_true", help="write records only")
    parser.add_argument(
        "--engine",
        choices=["plain", "ray"],
        default="plain",
        help="this process (default), or Ray: on this machine, or the cluster at --ray-address",
    )
    parser.add_argument("--ray-address", help="of a cluster, such as ray://host:10001 or auto")
    parser.add_argument("--workers", type=int, help="with Ray, how many models (one for each GPU)")
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="of the backend and the model, such as max_new_tokens=512 max_pixels=1000000",
    )
    parser.add_argument(
        "--visualizer",
        metavar="NAME[:KEY=VALUE,…]",
        help="of VISUALIZERS, such as PillowVisualizer:line_width=4",
    )
    parser.add_argument(
        "--masks",
        metavar="NAME[:KEY=VALUE,…]",
        help="make masks of what was predicted: of MASKERS, such as "
        "SAMMasker:model=facebook/sam2.1-hiera-small of the plugin rexkit-plugin-sam",
    )
    add_import_option(parser)
    args = parser.parse_args(argv)
    if args.every < 1:
        parser.error(f"--every must be at least 1, got {args.every}")
    if args.engine != "ray" and (args.ray_address or args.workers):
        parser.error("--ray-address and --workers go with --engine ray")
    options: dict[str, Any] = dict(parse_override(word) for word in args.options)
    categories = parse_categories(args.categories or "")
    question = {
        "task": args.task,
        "categories": categories or None,
        "keypoint_type": args.keypoint_type,
        "visual_prompt_boxes": args.visual_prompt_boxes,
    }

    from rexkit.inference.inputs import is_video, list_inputs
    from rexkit.registry import VISUALIZERS

    start_logging()
    import_components(args)
    visualizer = None
    if args.visualizer:
        visualizer = VISUALIZERS.build(parse_component(args.visualizer), key="--visualizer")
    masks = parse_component(args.masks) if args.masks else None
    paths = list_inputs(args.images)

    from rexkit.formats.predictions import PREDICTIONS
    from rexkit.inference.file_prediction import finished, predict_files

    job: dict[str, Any] = {
        "paths": paths,
        "out_dir": args.out,
        "question": question,
        "run": {
            "model": args.model,
            "backend": args.backend,
            "options": options,
            **({} if masks is None else {"masks": masks}),
        },
        "images": not args.no_images,
        "every": args.every,
        "batch_size": args.batch_size,
        "visualizer": visualizer,
    }
    if args.engine == "ray":
        from rexkit.inference.ray_prediction import predict_files_on_ray

        results = predict_files_on_ray(
            args.model,
            args.backend,
            {**options, "masks": masks},
            **job,
            address=args.ray_address,
            workers=args.workers,
            imports=args.imports,
        )
    else:
        from rexkit.inference.predictor import Predictor
        from rexkit.maskers import build_masker

        masker = None if masks is None else build_masker(masks, "--masks")
        predictor = Predictor(args.model, args.backend, masks=masker, **options)
        results = predict_files(predictor, **job)
    total = None
    if not any(map(is_video, paths)):
        done = finished(args.out / PREDICTIONS)
        total = sum(path not in done for path in paths)
    console = Terminal(stderr=True)
    shown = track(results, "predicting", total, console=console, disable=not console.is_terminal)
    number, failures = 0, []
    for result in shown:
        number += 1
        if not result.success:
            failures.append(f"{result.name}: {result.error}")
    for failure in failures:
        console.print(failure, soft_wrap=True)
    summary = f"{number - len(failures)} predictions, {len(failures)} could not be used: {args.out}"
    console.print(summary, soft_wrap=True)
    return 1 if failures else 0
