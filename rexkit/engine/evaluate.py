"""Testing: ask, read, score, write down."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from rich.progress import track

from rexkit.backends import Backend, Generation, Request
from rexkit.engine.data import ExampleDataset
from rexkit.registry import METRICS, PARSERS
from rexkit.structures import Example, Prediction

logger = logging.getLogger(__name__)

WINDOW = 512
"""How many examples are held at once, to be sorted by length."""


def evaluate(
    backend: Backend,
    examples: ExampleDataset,
    *,
    metrics: Sequence[dict[str, Any]] | None = None,
    out_dir: Path | None = None,
    visualizer: Any = None,
    num_pictures: int = 0,
    show_dir: Path | None = None,
) -> dict[str, float]:
    """Generate an answer to every example, score it, and write what was found.

    Args:
        backend: who answers.
        examples: what is asked, with the truth.
        metrics: configs of METRICS; left out, those of each example's task.
        out_dir: gets ``predictions.jsonl`` (one object an example) and ``metrics.json``.
        visualizer: of VISUALIZERS, for the pictures.
        num_pictures: how many of the first examples are drawn, truth beside prediction.
        show_dir: where the pictures go; left out, ``out_dir/pictures``.

    Returns:
        Every figure by name; with more than one task, by ``task/name``.
    """
    parsers = {s.task.name: PARSERS.build(s.task.parser) for s in examples.sources}
    tables = {
        source.task.name: [
            METRICS.build({"type": cfg} if isinstance(cfg, str) else cfg, key=f"metrics.{i}")
            for i, cfg in enumerate(source.task.metrics if metrics is None else metrics)
        ]
        for source in examples.sources
    }
    show_dir = show_dir or (out_dir / "pictures" if out_dir else None)
    records = []
    for number, (example, generation) in enumerate(_answers(backend, examples)):
        prediction = parsers[example.task](generation.text, example.target.image_size)
        for metric in tables[example.task]:
            metric.add(prediction, example.target)
        records.append(_record(example, generation, prediction))
        if visualizer is not None and show_dir is not None and number < num_pictures:
            show_dir.mkdir(parents=True, exist_ok=True)
            picture = visualizer.side_by_side(
                example.image,
                example.target,
                prediction,
                prompt=example.prompt,
                text=generation.text,
            )
            picture.save(show_dir / f"{number:05d}.png")
    figures: dict[str, float] = {}
    for task, computed in tables.items():
        prefix = f"{task}/" if len(tables) > 1 else ""
        for metric in computed:
            figures |= {f"{prefix}{name}": value for name, value in metric.compute().items()}
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(record, ensure_ascii=False) for record in records)
        (out_dir / "predictions.jsonl").write_text("".join(f"{x}\n" for x in lines), "utf-8")
        write_metrics(figures, out_dir)
    for line in examples.skipped:
        logger.warning("skipped: %s", line)
    return figures


def write_metrics(figures: dict[str, float], folder: Path) -> None:
    """Write ``metrics.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def _answers(backend: Backend, examples: ExampleDataset) -> Iterator[tuple[Example, Generation]]:
    numbers = iter(track(range(len(examples)), description="testing", transient=True))
    while window := [examples[i] for i in islice(numbers, WINDOW)]:
        generations = backend.generate([Request(e.image, e.prompt) for e in window])
        yield from zip(window, generations, strict=True)


def _record(example: Example, generation: Generation, prediction: Prediction) -> dict[str, Any]:
    return {
        "source": example.source,
        "task": example.task,
        "prompt": example.prompt,
        "phrases": example.phrases,
        "image_size": list(example.target.image_size),
        "raw_output": generation.text,
        "extracted_predictions": prediction.to_dict(),
        "ground_truth": example.target.to_dict(),
        "problems": [asdict(problem) for problem in prediction.problems],
        "num_prompt_tokens": generation.prompt_tokens,
        "num_output_tokens": len(generation.token_ids),
        "truncated": generation.truncated,
        "seconds": round(generation.seconds, 4),
    }
