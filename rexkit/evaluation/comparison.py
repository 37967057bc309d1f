"""Several runs laid side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rexkit.evaluation.results_folder import find_results
from rexkit.evaluation.tables import format_value

_LOWER_IS_BETTER = re.compile(r"error|mae|distance|seconds")
_COUNT = re.compile(r"(^|[/_])(absent|answers|truths|images|samples)$")


@dataclass(slots=True)
class Row:
    """One figure of every run.

    Attributes:
        task, dataset, figure: which.
        values: of each run; None where it has no such figure.
    """

    task: str
    dataset: str
    figure: str
    values: list[float | None]

    @property
    def best(self) -> list[bool]:
        """Which runs are best: the highest, or the lowest where the figure counts errors.

        None is where all are the same, or where the figure is a mere count.

        >>> Row("box_eval", "COCO", "f1@0.5", [0.5, 0.7, None]).best
        [False, True, False]
        """
        known = [value for value in self.values if value is not None]
        if len(set(known)) < 2 or _COUNT.search(self.figure):
            return [False] * len(self.values)
        best = min(known) if _LOWER_IS_BETTER.search(self.figure) else max(known)
        return [value == best for value in self.values]

    def cells(self) -> list[str]:
        """What a table says of each run: the figure, and its difference to the first."""
        first, *others = self.values
        cells = [format_value(first)]
        for value in others:
            change = "" if value is None or first is None else f" ({value - first:+.4f})"
            cells.append(format_value(value) + change)
        return cells


@dataclass(slots=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        names: of the runs, as short as tells them apart.
        rows: every figure that one of them has.
    """

    names: list[str]
    rows: list[Row]

    @property
    def header(self) -> list[str]:
        """The head of a table."""
        return ["task", "dataset", "figure", *self.names]

    def texts(self, mark: str = "{}") -> list[list[str]]:
        """The cells of a table, the best of each row within a mark such as ``**{}**``."""
        return [
            [row.task, row.dataset, row.figure]
            + [mark.format(c) if b else c for c, b in zip(row.cells(), row.best, strict=True)]
            for row in self.rows
        ]


def compare(folders: Sequence[Path]) -> Comparison:
    """Lay the results of several runs side by side.

    Args:
        folders: of results, or work directories of trainings, which stand for their last test.

    Raises:
        FileNotFoundError: one of them holds no results.
    """
    found = [find_results(folder) for folder in folders]
    keys = dict.fromkeys((*place, name) for run in found for place in run for name in run[place])
    rows = [
        Row(task, dataset, name, [run.get((task, dataset), {}).get(name) for run in found])
        for task, dataset, name in keys
    ]
    return Comparison(short_names(folders), rows)


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell them apart.

    >>> short_names([Path("runs/a/test"), Path("runs/b/test")])
    ['a/test', 'b/test']
    """
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]
