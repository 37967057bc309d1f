"""The folders of results, ``TASK_eval/DATASET``: predictions, metrics, metrics per category."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rexkit.errors import UserError
from rexkit.formats.answer_records import ANSWERS
from rexkit.formats.json_lines import json_text
from rexkit.formats.predictions import COMPLETIONS, PREDICTIONS, PredictionRecord, to_line
from rexkit.whole_files import write_whole

if TYPE_CHECKING:
    from rexkit.metrics.metric import Metric

logger = logging.getLogger(__name__)

METRICS = "metrics.json"
TEST = "test.json"
"""Beside ``predictions.jsonl``, written before the first of them: the number of samples."""
PER_CATEGORY = "per_category.json"
TABLES = ("results.md", "results.csv")

ResultName = tuple[str, str]
"""The folders of a result: (task, data set), such as ("box_eval", "COCO")."""
MetricValues = dict[str, float]
"""The value of each metric by name, such as ``{"f1@0.5": 0.8}``."""


class DatasetResults:
    """The results of one data set on one task, written during the test.

    A context manager: ``predictions.jsonl`` is emptied when it is entered, every record is in the
    file as soon as it is added, and ``metrics.json`` exists only after the test has finished.

    Args:
        folder: such as ``work_dirs/run/box_eval/COCO``.
        samples: number of records that there will be; ``test.json`` keeps it.
    """

    def __init__(self, folder: Path, samples: int | None = None):
        self.folder = folder
        self.samples = samples

    def __enter__(self) -> DatasetResults:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, PER_CATEGORY, PREDICTIONS, TEST):
            (self.folder / name).unlink(missing_ok=True)
        if self.samples is not None:
            write_whole(self.folder / TEST, json.dumps({"samples": self.samples}) + "\n")
        # Line by line, so that a killed test keeps the records so far.
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
        """Write one record.

        Args:
            record: as `rexkit.formats.predictions.PredictionRecord.to_dict` returns it.
        """
        self._file.write(to_line(record))


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of prediction records.

    Attributes:
        path: the file.
        dataset: name of the data set, or of the training step.
        task: folder of the task; None if each record has its task.
    """

    path: Path
    dataset: str
    task: str | None = None

    def missing(self, found: int) -> str | None:
        """Return what a test that was stopped before its end left out, None if nothing.

        Args:
            found: number of records in the file.
        """
        folder = self.path.parent
        if self.path.name != PREDICTIONS:
            return None
        expected = expected_samples(folder)
        if expected is not None and found < expected:
            return f"{folder}: {found} of {expected} samples; the test was stopped before its end"
        if (self.task or expected is not None) and not (folder / METRICS).is_file():
            return f"{folder}: {found} samples and no {METRICS}; the test did not end"
        return None

    def result_name(self, record: PredictionRecord) -> ResultName:
        """Return (task, data set) of one of its records."""
        return self.task or record.task or "unknown task", self.dataset


def clear_totals(folder: Path) -> None:
    """Remove the values and tables over all data sets in a folder, which a new test replaces.

    A test that is killed then leaves none beside records that they are not of.
    """
    for name in (METRICS, *TABLES):
        (folder / name).unlink(missing_ok=True)


def expected_samples(folder: Path) -> int | None:
    """Return how many records a test was to write into a folder, None if that is not known."""
    try:
        found = json.loads((folder / TEST).read_text("utf-8"))["samples"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if type(found) is int and found >= 0 else None


def find_record_files(folder: Path) -> tuple[Path, list[RecordFile]]:
    """Find the prediction records in a folder.

    The first of these that exists is used: ``TASK_eval/DATASET/predictions.jsonl`` of a test, also
    in ``after``, the test at the end of a training; ``predictions.jsonl`` of ``rexkit predict``;
    ``completions.jsonl`` of GRPO, in the folder itself, in ``step_*`` or in
    ``completions/step_*``; ``answer.jsonl`` of the public evaluation, in the folder itself or in
    ``TASK_eval/DATASET``.

    Args:
        folder: the folder, or a file of records.

    Returns:
        The folder that contains them, and the files in alphabetical order.

    Raises:
        FileNotFoundError: there are none.
    """
    if folder.is_file():
        return folder.parent, [RecordFile(folder, folder.stem)]
    for root in (folder, folder / "after"):
        if files := sorted(root.glob(f"*/*/{PREDICTIONS}")):
            return root, [RecordFile(f, f.parent.name, f.parent.parent.name) for f in files]
    for name in (PREDICTIONS, COMPLETIONS):
        if (folder / name).is_file():
            return folder, [RecordFile(folder / name, Path(name).stem)]
    for root in (folder, folder / "completions"):
        if files := sorted(root.glob(f"step_*/{COMPLETIONS}")):
            return folder, [RecordFile(file, file.parent.name) for file in files]
    if files := sorted(folder.glob(ANSWERS)):
        return folder, [RecordFile(file, folder.resolve().name) for file in files]
    if files := sorted(folder.glob(f"*/*/{ANSWERS}")):
        return folder, [RecordFile(f, f.parent.name, f.parent.parent.name) for f in files]
    raise FileNotFoundError(
        f"{folder} has no prediction records: no TASK_eval/DATASET/{PREDICTIONS} of rexkit test, "
        f"no {PREDICTIONS} of rexkit predict, no step_*/{COMPLETIONS} of GRPO, no answer.jsonl of "
        "the public evaluation"
    )


def name_results(named: Iterable[tuple[str, str]]) -> list[ResultName]:
    """Return the name of each source's result: its own, numbered where several have the same.

    Args:
        named: (folder of the task, name of the data set) of each source.

    >>> name_results([("box_eval", "Shapes"), ("box_eval", "Shapes"), ("point_eval", "Shapes")])
    [('box_eval', 'Shapes'), ('box_eval', 'Shapes_2'), ('point_eval', 'Shapes')]
    """
    given = list(named)
    seen: Counter[ResultName] = Counter()
    results: list[ResultName] = []
    for task, name in given:
        result = (task, name)
        while result in results or (result != (task, name) and result in given):
            seen[task, name] += 1
            result = (task, f"{name}_{seen[task, name] + 1}")
        results.append(result)
    return results


def readable_name(dataset: Any) -> str:
    """Return a name for a data set without one: that of its class, without "Dataset".

    >>> from rexkit.datasets import ShapesDataset
    >>> readable_name(ShapesDataset())
    'Shapes'
    """
    name = type(dataset).__name__
    return name.removesuffix("Dataset") or name


def write_per_category(metrics: Iterable[Metric], folder: Path) -> None:
    """Write ``per_category.json``, ``{phrase: {metric: value}}``, if a metric has such values."""
    table: dict[str, MetricValues] = {}
    for metric in metrics:
        for phrase, values in metric.per_category().items():
            table.setdefault(phrase, {}).update(values)
    if table:
        write_whole(folder / PER_CATEGORY, json_text(table, indent=2) + "\n")


def write_metrics(values: MetricValues, folder: Path) -> None:
    """Write ``metrics.json`` into a folder, which is created if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / METRICS, json.dumps(values, indent=2) + "\n")


def find_results(folder: Path) -> dict[ResultName, MetricValues]:
    """Return the metrics of every finished test, by (task, data set) in alphabetical order.

    For a training's work directory, these are the metrics of the test at its end, in ``after``.

    Tests that were stopped before their end are left out with a warning.

    Raises:
        FileNotFoundError: there is none.
    """
    for root in (folder, folder / "after"):
        stopped = {f.parent for f in root.glob(f"*/*/{TEST}")}
        for left_out in sorted(f for f in stopped if not (f / METRICS).is_file()):
            logger.warning("%s has no %s: its test did not end; it is left out", left_out, METRICS)
        if files := sorted(root.glob(f"*/*/{METRICS}")):
            return {(f.parent.parent.name, f.parent.name): _read_metrics(f) for f in files}
    raise FileNotFoundError(
        f"{folder} has no results: there is no TASK_eval/DATASET/{METRICS} in it; "
        "rexkit test writes them to its work directory"
    )


def _read_metrics(file: Path) -> MetricValues:
    try:
        values = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: bad JSON ({error}); test again, or remove the file") from error
    if not isinstance(values, dict) or not all(map(_is_value, values.values())):
        raise UserError(
            f"{file}: expected a JSON object, numbers by name; test again, or remove the file"
        )
    return values


def _is_value(value: Any) -> bool:
    """Whether something can be the value of a metric; None stands for one that is undefined."""
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, float)
