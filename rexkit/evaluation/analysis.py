"""Faults counted over prediction records, and the samples with most of them."""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.results_folder import ResultName, find_record_files
from rexkit.formats.predictions import PredictionRecord, read_predictions

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Case:
    """One sample with its faults.

    Attributes:
        result_name: (task, data set) of its result.
        record: the question and the prediction, with the ground truth if it is known.
        faults: what is wrong with the prediction.
    """

    result_name: ResultName
    record: PredictionRecord
    faults: list[Fault]


@dataclass(slots=True, eq=False)
class Analysis:
    """The faults of the records in a folder.

    Attributes:
        root: the folder that contains the results.
        samples: number of samples with a prediction, by (task, data set).
        faultless: number of those without a fault, by (task, data set).
        errors: number of images that could not be used, by (task, data set).
        counts: number of faults of each kind, by (task, data set).
        worst: the samples with most faults, worst first; equal ones in the order of the records.
        unfinished: what is missing of each test that was stopped before its end.
    """

    root: Path
    samples: Counter[ResultName]
    faultless: Counter[ResultName]
    errors: Counter[ResultName]
    counts: dict[ResultName, Counter[str]]
    worst: list[Case]
    unfinished: dict[ResultName, str] = field(default_factory=dict)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of a table: a row for each kind, a column for each result."""
        results = list(self.counts)
        rows = [
            ["samples", *(str(self.samples[r]) for r in results), "samples with a prediction"],
            ["faultless", *(str(self.faultless[r]) for r in results), "samples without a fault"],
        ]
        if self.unfinished:
            cells = ("yes" if r in self.unfinished else "" for r in results)
            rows.insert(0, ["unfinished", *cells, "tests that were stopped before their end"])
        if self.errors:
            meaning = "images that could not be used"
            rows.append(["errors", *(str(self.errors[r]) for r in results), meaning])
        for kind, meaning in FAULT_KINDS.items():
            rows.append([kind, *(str(self.counts[r][kind]) for r in results), meaning])
        return ["fault", *("/".join(result) for result in results), "meaning"], rows


def analyse(folder: Path, worst: int = 20, iou: float = 0.5) -> Analysis:
    """Find and count the faults of every prediction in a folder.

    Reads the records one at a time and keeps only the worst. Records without ground truth, such as
    those of ``rexkit predict``, have the faults that can be found without it.

    Args:
        folder: the output of ``rexkit test``, ``rexkit predict`` or a training, or a file of
            records (`rexkit.evaluation.results_folder.find_record_files`).
        worst: how many samples are kept, those with most faults.
        iou: lowest IoU at which a box or polygon is correct, in (0, 1].

    Raises:
        FileNotFoundError: the folder contains no records.
        DataError: a line is not a record; the message names file and line.
    """
    root, files = find_record_files(folder)
    analysis = Analysis(root, Counter(), Counter(), Counter(), {}, [])

    def cases() -> Iterator[Case]:
        for file in files:
            number, result = 0, None
            for number, record in enumerate(read_predictions(file.path), start=1):  # noqa: B007
                result = file.result_name(record)
                counts = analysis.counts.setdefault(result, Counter())
                if record.prediction is None:
                    analysis.errors[result] += 1
                    continue
                faults = find_faults(
                    record.prediction,
                    record.target,
                    record.phrases,
                    truncated=record.truncated,
                    iou=iou,
                )
                counts.update(fault.kind for fault in faults)
                analysis.samples[result] += 1
                analysis.faultless[result] += not faults
                if faults:
                    yield Case(result, record, faults)
            if (missing := file.missing(number)) is not None:
                logger.warning("%s", missing)
                if result is not None:
                    analysis.unfinished[result] = missing

    # Like sorting, nlargest keeps the order of equal cases.
    analysis.worst = heapq.nlargest(worst, cases(), key=lambda case: len(case.faults))
    return analysis
