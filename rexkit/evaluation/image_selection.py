"""The selection of images to annotate, from the records of one or several runs on them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rexkit.errors import DataError
from rexkit.evaluation.selection import describe_image, select, uncertainties
from rexkit.evaluation.tables import write_csv
from rexkit.evaluation.uncertainty import Uncertainty
from rexkit.formats.image_sources import open_source
from rexkit.formats.predictions import PredictionRecord, read_predictions, to_line
from rexkit.structures import Array
from rexkit.whole_files import write_whole

_OPENERS = 4  # threads that read images

Progress = Callable[[Iterator[Array | None], int], Iterator[Array | None]]


@dataclass
class ImageSelection:
    """The images to annotate next, and why.

    Attributes:
        images: the path of every image that could be used.
        uncertain: how unsure the model is of each.
        values: the same as one number, in [0, 1].
        taken: the numbers of the selected images, in the order of their use.
        failures: why an image could not be used, by its path.
        lines: the record of each image that is written for the annotators.
    """

    images: list[str]
    uncertain: list[Uncertainty]
    values: Array
    taken: list[int]
    failures: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write ``selected.txt``, ``selected.jsonl`` and ``ranking.csv`` to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = (os.fsencode(Path(self.images[n]).resolve()) + b"\n" for n in self.taken)
        write_whole(folder / "selected.txt", b"".join(paths))
        write_whole(folder / "selected.jsonl", "".join(self.lines[n] for n in self.taken))
        rank = {number: place for place, number in enumerate(self.taken, 1)}
        rest = sorted({*range(len(self.images))} - {*rank}, key=lambda n: (-self.values[n], n))
        header = ["selected", "uncertainty", "doubt", "disagreement", "image"]
        write_csv(
            folder / "ranking.csv",
            header,
            [[rank.get(n, ""), *self._columns(n), self.images[n]] for n in [*self.taken, *rest]],
        )

    def _columns(self, number: int) -> list[str]:
        known = self.uncertain[number]
        values = (float(self.values[number]), known.doubt, known.disagreement)
        return ["" if math.isnan(value) else f"{value:.4f}" for value in values]


def select_images(
    files: Sequence[Path],
    budget: int,
    diversity: float = 0.5,
    annotated: Sequence[str] = (),
    progress: Progress | None = None,
) -> ImageSelection:
    """Select images by the records of predictions on them.

    Args:
        files: ``predictions.jsonl`` of one run or of several on the same images, with other
            prompts or models; the records of the first are those that annotators get.
        budget: as in `rexkit.evaluation.selection.select`.
        diversity: as there.
        annotated: paths of images that have annotations already.
        progress: wraps the descriptions of the images, as `rich.progress.track` does.

    Raises:
        DataError: a line is no record.
    """
    records, failures = _by_image(files)
    paths = [*dict.fromkeys([*records, *annotated])]

    def describe(path: str) -> Array | None:
        try:
            return describe_image(open_source(path))
        except DataError as error:
            failures[path] = error.reason
            return None

    with ThreadPoolExecutor(_OPENERS) as pool:
        opened = pool.map(describe, paths)
        found = opened if progress is None else progress(opened, len(paths))
        described = {p: d for p, d in zip(paths, found, strict=True) if d is not None}
    known = {*annotated}
    images = [path for path in records if path in described and path not in known]
    uncertain = [
        Uncertainty.of([r.prediction for r in records[path] if r.prediction is not None])
        for path in images
    ]
    values = uncertainties(uncertain)
    taken = select(
        values,
        [described[path] for path in images],
        budget,
        diversity,
        [described[path] for path in annotated if path in described],
    )
    lines = [to_line(records[path][0].to_dict()) for path in images]
    return ImageSelection(images, uncertain, values, taken, failures, lines)


def _by_image(
    files: Sequence[Path],
) -> tuple[dict[str, list[PredictionRecord]], dict[str, str]]:
    """Return the records of each image, and why the others have none."""
    records: dict[str, list[PredictionRecord]] = {}
    failures: dict[str, str] = {}
    for file in files:
        for record in read_predictions(file):
            if record.prediction is None:
                failures[record.source] = str(record.error)
            elif record.image_path is None:
                failures[record.source] = "it has no file of its own for annotators"
            else:
                records.setdefault(record.image_path, []).append(record)
    return records, failures
