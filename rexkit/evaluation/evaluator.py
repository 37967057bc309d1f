"""Testing a model: generate, parse, compute metrics, write the results."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from rexkit.evaluation.distributed import ALONE, Processes
from rexkit.evaluation.results_folder import (
    DatasetResults,
    MetricValues,
    ResultName,
    clear_totals,
    name_results,
    readable_name,
    write_metrics,
    write_per_category,
)
from rexkit.evaluation.tables import write_tables
from rexkit.examples import ExampleDataset, Source
from rexkit.formats.predictions import PredictionRecord
from rexkit.metrics.metric import Metric
from rexkit.registry import METRICS
from rexkit.structures import Example, Prediction

if TYPE_CHECKING:
    from rexkit.backends import Backend, Generation

logger = logging.getLogger(__name__)

WINDOW = 256
"""How many examples are in memory at once, sorted by length; a killed test loses at most these."""


def evaluate(
    backend: Backend,
    examples: ExampleDataset,
    *,
    metrics: Sequence[str | Mapping[str, Any]] | None = None,
    out_dir: Path | None = None,
    visualizer: Any = None,
    num_images: int = 0,
    show_dir: Path | None = None,
    processes: Processes = ALONE,
) -> MetricValues:
    """Generate a response to every example, compute metrics, and write the results.

    Results are in ``out_dir/TASK_eval/DATASET``: ``test.json``, with the number of samples, is
    written first, ``predictions.jsonl`` (`rexkit.formats.predictions`) during the test, and
    ``metrics.json`` and, if there are metrics per phrase, ``per_category.json`` at the end.
    ``out_dir`` itself gets ``metrics.json`` with the returned values, and ``results.md`` and
    ``results.csv`` with those of every data set in the folder, earlier tests included.

    Rows that cannot be used, or that the backend cannot take, are skipped beforehand where their
    dataset has ``on_error="skip"``; others are an error.

    Args:
        backend: generates the responses.
        examples: the questions, with the ground truth.
        metrics: configs of METRICS; None takes those of each example's task.
        out_dir: folder of the results; None writes nothing.
        visualizer: of VISUALIZERS, for the images.
        num_images: number of examples that are drawn, ground truth beside prediction; they are
            spread evenly over all examples, so that every data set is included.
        show_dir: folder of the images; None takes ``out_dir/images``.
        processes: the processes among which the examples are divided; all call this function with
            the same arguments. The first writes the results; each draws its own examples.

    Returns:
        Every value by the name of its metric, over all data sets of a task; with more than one
        task, by ``task/name``; the same in every process.
    """
    from rexkit.inference.requests import parse_generation

    limit = getattr(backend, "check", None)
    examples.skip_unusable(*([limit] if limit else []))
    sources = examples.sources
    result_names = name_results(
        [(s.task.results_dir, s.name or readable_name(s.dataset)) for s in sources]
    )
    parsers = [source.parser for source in sources]
    tables = [build_metrics(source, metrics) for source in sources]
    show_dir = show_dir or (out_dir / "images" if out_dir else None)
    number_drawn = min(num_images, len(examples))
    drawn = {i * len(examples) // number_drawn for i in range(number_drawn)}
    results_dir = out_dir if processes.rank == 0 else None
    if results_dir is not None:
        clear_totals(results_dir)
    numbers = Counter(map(examples.source_of, range(len(examples))))
    with ExitStack() as stack:
        files = [
            stack.enter_context(DatasetResults(results_dir.joinpath(*result), numbers[number]))
            for number, result in enumerate(result_names)
            if results_dir is not None
        ]
        for window in _windows(backend, examples, processes):
            records = []
            for index, example, generation in window:
                number = examples.source_of(index)
                size = example.target.image_size
                prediction = parse_generation(generation, parsers[number], size, backend)
                for metric in tables[number]:
                    metric.add(prediction, example.target)
                if out_dir is not None:
                    geometry = getattr(sources[number].task, "geometry", "bbox")
                    record = _record(
                        index, example, generation, prediction, result_names[number][1]
                    )
                    records.append(record.to_dict(geometry))
                if visualizer is not None and show_dir is not None and index in drawn:
                    _draw(visualizer, example, prediction, show_dir / f"{index:05d}.png")
            for row in processes.gather_records(records):
                if files:
                    files[examples.source_of(row["index"])].add(row)
    if processes.count > 1:
        tables = _merged(tables, sources, metrics, processes)
    values = _values_by_task(sources, result_names, tables, results_dir)
    if results_dir is not None:
        write_metrics(values, results_dir)
        write_tables(results_dir)
    for line in examples.reports:
        logger.warning("%s", line)
    return values


def _values_by_task(
    sources: Sequence[Source],
    result_names: Sequence[ResultName],
    tables: Sequence[Sequence[Metric]],
    results_dir: Path | None,
) -> MetricValues:
    """Write the values of each data set, and return those over all data sets of each task."""
    found = [_values(table) for table in tables]
    if results_dir is not None:
        for result, one, table in zip(result_names, found, tables, strict=True):
            write_metrics(one, results_dir.joinpath(*result))
            write_per_category(table, results_dir.joinpath(*result))
    values: MetricValues = {}
    tasks = dict.fromkeys(source.task.name for source in sources)
    for task in tasks:
        first, *others = [i for i, source in enumerate(sources) if source.task.name == task]
        for other in others:
            for whole, part in zip(tables[first], tables[other], strict=True):
                whole.merge(part)
        together = _values(tables[first]) if others else found[first]
        prefix = f"{task}/" if len(tasks) > 1 else ""
        values |= {f"{prefix}{name}": value for name, value in together.items()}
    return values


def _draw(visualizer: Any, example: Example, prediction: Prediction, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = visualizer.side_by_side(
        example.image, example.target, prediction, prompt=example.prompt, text=prediction.text
    )
    image.save(file)


def build_metrics(
    source: Source, metrics: Sequence[str | Mapping[str, Any]] | None
) -> list[Metric]:
    """Build the metrics of a source.

    Args:
        source: whose task has metrics of its own.
        metrics: names or configs of METRICS; if left out, those of the source's task.

    Returns:
        The metrics, without any prediction added.

    Raises:
        ConfigError: a metric that cannot be built.
    """
    return [
        METRICS.build({"type": cfg} if isinstance(cfg, str) else cfg, key=f"metrics.{i}")
        for i, cfg in enumerate(source.task.metrics if metrics is None else metrics)
    ]


def _values(metrics: Sequence[Metric]) -> MetricValues:
    return {name: value for metric in metrics for name, value in metric.compute().items()}


def _merged(
    tables: Sequence[Sequence[Metric]],
    sources: Sequence[Source],
    metrics: Sequence[str | Mapping[str, Any]] | None,
    processes: Processes,
) -> list[list[Metric]]:
    """Return the metrics with the states of all processes."""
    states = {
        f"{number}.{position}": metric.state()
        for number, table in enumerate(tables)
        for position, metric in enumerate(table)
    }
    whole = [build_metrics(source, metrics) for source in sources]
    for state in processes.gather_states(states):
        for number, table in enumerate(whole):
            for position, metric in enumerate(table):
                metric.absorb(state[f"{number}.{position}"])
    return whole


def _windows(
    backend: Backend, examples: ExampleDataset, processes: Processes
) -> Iterator[list[tuple[int, Example, Generation]]]:
    """Generate this process's share, ``WINDOW`` examples at a time, with their numbers.

    Every process yields the same number of windows, some of them empty: the processes wait for
    each other after each.
    """
    from rexkit.inference.requests import build_request

    size = WINDOW * processes.count
    with Progress(transient=True, disable=processes.rank > 0) as progress:
        bar = progress.add_task("testing", total=len(examples))
        for start in range(0, len(examples), size):
            window = range(len(examples))[start : start + size]
            numbers = processes.share(window)
            batch = [examples[number] for number in numbers]
            tasks = [examples.sources[examples.source_of(number)].task for number in numbers]
            generations = backend.generate(
                [
                    build_request(e.image, task, e.question)
                    for e, task in zip(batch, tasks, strict=True)
                ]
            )
            yield list(zip(numbers, batch, generations, strict=True))
            progress.advance(bar, len(window))


def _record(
    index: int, example: Example, generation: Generation, prediction: Prediction, dataset: str
) -> PredictionRecord:
    return PredictionRecord.of(
        example,
        prediction,
        dataset=dataset,
        index=index,
        truncated=generation.truncated,
        num_prompt_tokens=generation.prompt_tokens,
        num_output_tokens=len(generation.token_ids),
        seconds=round(generation.seconds, 4),
        error=None if generation.error is None else str(generation.error),
    )
