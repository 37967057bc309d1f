"""Several runs side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rexkit.evaluation.record_statistics import record_statistics
from rexkit.evaluation.results_folder import MetricValues, ResultName, find_results
from rexkit.evaluation.tables import format_value

_LOWER_IS_BETTER = re.compile(r"error|mae|relative|distance|seconds|problem_rate|truncated_rate")
_COUNT = re.compile(
    r"(^|[/_])(absent|predictions|targets|images|samples)$"
    r"|^(instances|output_tokens)_per_sample$"
)


@dataclass(slots=True)
class MetricRow:
    """One metric of every run.

    Attributes:
        task, dataset, metric: names of the task, the data set and the metric.
        values: the value of each run; None if it does not have the metric.
    """

    task: str
    dataset: str
    metric: str
    values: list[float | None]

    @property
    def best(self) -> list[bool]:
        """Which runs are best: those with the highest value, or the lowest of an error metric.

        No run is best if all values are equal, or if the metric is only a count.

        >>> MetricRow("box_eval", "COCO", "f1@0.5", [0.5, 0.7, None]).best
        [False, True, False]
        """
        known = [value for value in self.values if value is not None]
        if len(set(known)) < 2 or _COUNT.search(self.metric):
            return [False] * len(self.values)
        best = min(known) if _LOWER_IS_BETTER.search(self.metric) else max(known)
        return [value == best for value in self.values]

    def cells(self) -> list[str]:
        """Return the cell of each run: its value, and the difference to the first run's."""
        first, *others = self.values
        cells = [format_value(first)]
        for value in others:
            change = "" if value is None or first is None else f" ({value - first:+.4f})"
            cells.append(format_value(value) + change)
        return cells


@dataclass(slots=True)
class RunComparison:
    """Several runs side by side.

    Attributes:
        names: the shortest distinct names of the runs.
        rows: every metric that at least one of them has.
    """

    names: list[str]
    rows: list[MetricRow]

    @property
    def header(self) -> list[str]:
        """The header of a table."""
        return ["task", "dataset", "metric", *self.names]

    def texts(self, mark: str = "{}") -> list[list[str]]:
        """Return the cells of a table, the best of each row in ``mark``, such as ``**{}**``."""
        return [
            [row.task, row.dataset, row.metric]
            + [mark.format(c) if b else c for c, b in zip(row.cells(), row.best, strict=True)]
            for row in self.rows
        ]


def compare(folders: Sequence[Path]) -> RunComparison:
    """Compare the results of several runs side by side.

    Args:
        folders: results of tests, or work directories of trainings, whose last test is taken. A
            folder without metrics, such as one of ``rexkit predict`` or of GRPO completions, is
            compared by the statistics of its records (`rexkit.evaluation.record_statistics`).

    Raises:
        FileNotFoundError: a folder contains neither results nor records.
    """
    found = [_results(folder) for folder in folders]
    keys = dict.fromkeys((*result, name) for run in found for result in run for name in run[result])
    rows = [
        MetricRow(task, dataset, name, [run.get((task, dataset), {}).get(name) for run in found])
        for task, dataset, name in keys
    ]
    return RunComparison(short_names(folders), rows)


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return as many of the last parts of paths as make them distinct.

    >>> short_names([Path("runs/a/test"), Path("runs/b/test")])
    ['a/test', 'b/test']
    """
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]


def _results(folder: Path) -> dict[ResultName, MetricValues]:
    try:
        return find_results(folder)
    except FileNotFoundError as no_results:
        try:
            return record_statistics(folder)
        except FileNotFoundError:
            raise no_results from None
