"""Where results lie: ``TASK_eval/DATASET``, with answers, figures and figures per category."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rexkit.errors import UserError
from rexkit.metrics.metric import Metric

PREDICTIONS, METRICS = "predictions.jsonl", "metrics.json"
PER_CATEGORY = "per_category.json"

Place = tuple[str, str]
"""The folders of a result: (task, data set), such as ("box_eval", "COCO")."""
Figures = dict[str, float]


class DatasetResults:
    """The results of one data set on one task, written while the test goes on.

    A context: ``predictions.jsonl`` is begun anew when it is entered, every record is in the file
    as soon as it is added, and ``metrics.json`` is there only when the test came to its end.

    Args:
        folder: such as ``work_dirs/run/box_eval/COCO``.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> DatasetResults:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, PER_CATEGORY):
            (self.folder / name).unlink(missing_ok=True)
        # Line by line, so that a test that is killed keeps what it has.
        self._file = (self.folder / PREDICTIONS).open("w", buffering=1, encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")


def name_results(named: Iterable[tuple[str, str]]) -> list[Place]:
    """A place for each source: its own name, numbered where several have the same.

    Args:
        named: (folder of the task, name of the data set) of each source.

    >>> name_results([("box_eval", "Shapes"), ("box_eval", "Shapes"), ("point_eval", "Shapes")])
    [('box_eval', 'Shapes'), ('box_eval', 'Shapes_2'), ('point_eval', 'Shapes')]
    """
    given = list(named)
    seen: Counter[Place] = Counter()
    places: list[Place] = []
    for task, name in given:
        place = (task, name)
        while place in places or (place != (task, name) and place in given):
            seen[task, name] += 1
            place = (task, f"{name}_{seen[task, name] + 1}")
        places.append(place)
    return places


def readable_name(dataset: Any) -> str:
    """A name for a data set that was given none: its class, without the word.

    >>> from rexkit.datasets import ShapesDataset
    >>> readable_name(ShapesDataset())
    'Shapes'
    """
    name = type(dataset).__name__
    return name.removesuffix("Dataset") or name


def write_per_category(metrics: Iterable[Metric], folder: Path) -> None:
    """Write ``per_category.json``, ``{phrase: {figure: value}}``, if a metric knows phrases."""
    table: dict[str, Figures] = {}
    for metric in metrics:
        for phrase, figures in metric.per_category().items():
            table.setdefault(phrase, {}).update(figures)
    if table:
        text = json.dumps(table, indent=2, ensure_ascii=False)
        (folder / PER_CATEGORY).write_text(f"{text}\n", "utf-8")


def write_metrics(figures: Figures, folder: Path) -> None:
    """Write ``metrics.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def find_results(folder: Path) -> dict[Place, Figures]:
    """The figures of every test that came to its end, by place in alphabetical order.

    A training's work directory stands for its test afterwards, in ``after``.

    Raises:
        FileNotFoundError: there is none.
    """
    root = results_root(folder, METRICS)
    return {
        (file.parent.parent.name, file.parent.name): _read_figures(file)
        for file in sorted(root.glob(f"*/*/{METRICS}"))
    }


def results_root(folder: Path, name: str) -> Path:
    """The folder that holds ``TASK_eval/DATASET/`` with files of a name: it, or ``after`` in it.

    Raises:
        FileNotFoundError: there is no such file in either.
    """
    for root in (folder, folder / "after"):
        if next(root.glob(f"*/*/{name}"), None) is not None:
            return root
    raise FileNotFoundError(
        f"{folder} holds no results: there is no TASK_eval/DATASET/{name} in it; "
        "tools/test.py writes them to its work directory"
    )


def _read_figures(file: Path) -> Figures:
    try:
        figures = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: bad JSON ({error}); test again, or remove the file") from error
    if not isinstance(figures, dict):
        raise UserError(f"{file}: figures by name are an object; test again, or remove the file")
    return figures
