"""Faults counted over the results of a test, and its worst samples."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.results_folder import PREDICTIONS, Place, results_root
from rexkit.evaluation.test_records import Record, read_records


@dataclass(slots=True, eq=False)
class Case:
    """One sample with its faults.

    Attributes:
        place: the folders of its result: (task, data set).
        record: what was asked, answered and true.
        faults: what is wrong with the answer.
    """

    place: Place
    record: Record
    faults: list[Fault]


@dataclass(slots=True, eq=False)
class Analysis:
    """The faults of a test.

    Attributes:
        root: the folder of the results, in which the places lie.
        samples: how many samples there are, by place.
        faultless: how many of them have no fault.
        counts: how many faults of each kind there are, by place.
        worst: the samples with most faults, worst first; equal ones in the order of the test.
    """

    root: Path
    samples: Counter[Place]
    faultless: Counter[Place]
    counts: dict[Place, Counter[str]]
    worst: list[Case]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of a table: a row for each kind, a column for each place."""
        places = list(self.counts)
        rows = [
            ["samples", *(str(self.samples[p]) for p in places), "what was tested"],
            ["faultless", *(str(self.faultless[p]) for p in places), "samples without a fault"],
        ]
        for kind, meaning in FAULT_KINDS.items():
            rows.append([kind, *(str(self.counts[p][kind]) for p in places), meaning])
        return ["fault", *("/".join(place) for place in places), "meaning"], rows


def analyse(folder: Path, worst: int = 20, iou: float = 0.5) -> Analysis:
    """Find and count the faults of every answer in a results folder.

    Reads the records one at a time and keeps only the worst.

    Args:
        folder: of a test's results, or a training's work directory, which stands for its last.
        worst: how many samples are kept, those with most faults.
        iou: from which IoU on a box or polygon is right.

    Raises:
        FileNotFoundError: there are no results in it.
        UserError: a line is no record of a test.
    """
    root = results_root(folder, PREDICTIONS)
    analysis = Analysis(root, Counter(), Counter(), {}, [])

    def cases() -> Iterator[Case]:
        for file in sorted(root.glob(f"*/*/{PREDICTIONS}")):
            place = (file.parent.parent.name, file.parent.name)
            counts = analysis.counts.setdefault(place, Counter())
            for r in read_records(file):
                faults = find_faults(
                    r.prediction, r.truth, r.phrases, truncated=r.truncated, iou=iou
                )
                counts.update(fault.kind for fault in faults)
                analysis.samples[place] += 1
                analysis.faultless[place] += not faults
                if faults:
                    yield Case(place, r, faults)

    # Like sorting, nlargest leaves equal cases in their order.
    analysis.worst = heapq.nlargest(worst, cases(), key=lambda case: len(case.faults))
    return analysis
