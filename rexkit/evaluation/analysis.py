"""Faults counted over prediction records, and the samples with most of them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.results_folder import Place, find_record_files
from rexkit.formats.predictions import PredictionRecord, read_predictions


@dataclass(slots=True, eq=False)
class Case:
    """One sample with its faults.

    Attributes:
        place: (task, data set) of its result.
        record: what was asked and predicted, with the ground truth where it is known.
        faults: what is wrong with the prediction.
    """

    place: Place
    record: PredictionRecord
    faults: list[Fault]


@dataclass(slots=True, eq=False)
class Analysis:
    """The faults of the records in a folder.

    Attributes:
        root: the folder, in which the places lie.
        samples: number of samples with a prediction, by place.
        faultless: number of those without a fault, by place.
        errors: number of images that could not be used, by place.
        counts: number of faults of each kind, by place.
        worst: the samples with most faults, worst first; equal ones in the order of the records.
    """

    root: Path
    samples: Counter[Place]
    faultless: Counter[Place]
    errors: Counter[Place]
    counts: dict[Place, Counter[str]]
    worst: list[Case]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows of a table: a row for each kind, a column for each place."""
        places = list(self.counts)
        rows = [
            ["samples", *(str(self.samples[p]) for p in places), "samples with a prediction"],
            ["faultless", *(str(self.faultless[p]) for p in places), "samples without a fault"],
        ]
        if self.errors:
            meaning = "images that could not be used"
            rows.append(["errors", *(str(self.errors[p]) for p in places), meaning])
        for kind, meaning in FAULT_KINDS.items():
            rows.append([kind, *(str(self.counts[p][kind]) for p in places), meaning])
        return ["fault", *("/".join(place) for place in places), "meaning"], rows


def analyse(folder: Path, worst: int = 20, iou: float = 0.5) -> Analysis:
    """Find and count the faults of every prediction in a folder.

    Reads the records one at a time and keeps only the worst. Records without ground truth, such as
    those of ``rexkit predict``, have the faults that can be found without it.

    Args:
        folder: what ``rexkit test``, ``rexkit predict`` or a training wrote, or a file of records
            (`rexkit.evaluation.results_folder.find_record_files`).
        worst: how many samples are kept, those with most faults.
        iou: lowest IoU at which a box or polygon is right, in (0, 1].

    Raises:
        FileNotFoundError: there are no records in it.
        DataError: a line is no record; the message names file and line.
    """
    root, files = find_record_files(folder)
    analysis = Analysis(root, Counter(), Counter(), Counter(), {}, [])

    def cases() -> Iterator[Case]:
        for file in files:
            for record in read_predictions(file.path):
                place = file.place(record)
                counts = analysis.counts.setdefault(place, Counter())
                if record.prediction is None:
                    analysis.errors[place] += 1
                    continue
                faults = find_faults(
                    record.prediction,
                    record.target,
                    record.phrases,
                    truncated=record.truncated,
                    iou=iou,
                )
                counts.update(fault.kind for fault in faults)
                analysis.samples[place] += 1
                analysis.faultless[place] += not faults
                if faults:
                    yield Case(place, record, faults)

    # Like sorting, nlargest leaves equal cases in their order.
    analysis.worst = heapq.nlargest(worst, cases(), key=lambda case: len(case.faults))
    return analysis
