"""Is the text of an image found, and is it read?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rexkit.edit_distance import edit_distance
from rexkit.geometry import (
    box_coverage,
    box_iou,
    match,
    polygon_bounds,
    polygon_coverage,
    polygon_iou,
)
from rexkit.instances import outline
from rexkit.metrics.metric import Metric, State
from rexkit.metrics.tally import precision_recall_f1
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

# The protocol asks for more than a half, of overlap and of an answer in a region.
_HALF = 0.5
_MORE_THAN_HALF = float(np.nextafter(_HALF, 1.0))


@METRICS.register_module()
class OCRHmean(Metric):
    """Detection and end-to-end figures of text, by the protocol of ICDAR 2015.

    Source: Karatzas et al., "ICDAR 2015 competition on Robust Reading", and the evaluation scripts
    of its challenge 4 (rrc.cvc.uab.es). An answer is found if it is paired one to one with a true
    text and the IoU is above 0.5. An answer more than half of whose area lies in one ignored region
    is taken out before pairing, and counts neither for nor against. The scripts pair greedily in
    the order of the files; here as many are paired as can be (`rexkit.geometry.match`), which is
    the same unless true texts overlap. Phrases play no part: the text is in ``Instance.text``.

    - ``hmean``, ``precision``, ``recall``: of what is found. hmean is the harmonic mean of both.
    - ``e2e_hmean``, ``e2e_precision``, ``e2e_recall``: of what is found and read right, letter by
      letter but for white space around the text; ``e2e_hmean_ci``: whatever the case. (The
      competition compares whatever the case, and forgives punctuation around a true word, which
      is not done here.)
    - ``word_accuracy``, ``word_accuracy_ci``: the share of what is found that is read right.
    - ``1-ned_matched``: 1 - edit distance / length of the longer text, mean of what is found.
    - ``1-ned``: the same over everything, a missed text or a false answer counting 0, as in the
      ICDAR 2019 competitions (Chng et al., "ArT", arXiv:1909.07145, there without case and
      punctuation).

    Nothing to be found and nothing answered is 1, one without the other is 0.

    Args:
        geometry: what is compared, "polygon" or "bbox". A box answered or given as truth where
            polygons are compared is its four corners, a polygon where boxes are is the box around
            it; instances with neither are not looked at.
    """

    def __init__(self, geometry: Literal["polygon", "bbox"] = "polygon"):
        if geometry not in ("polygon", "bbox"):
            raise ValueError(f"geometry: {geometry!r} is neither 'polygon' nor 'bbox'")
        self.geometry = geometry
        # Pairs, answers, truths; pairs read right, and so whatever the case.
        self._counts = np.zeros(5, dtype=np.int64)
        # Edit distances of the pairs, summed by the length of the longer text: whole numbers, so
        # that the figures are the same in whatever order they are added up.
        self._distances: Counter[int] = Counter()

    def add(self, prediction: Prediction, target: Annotation) -> None:
        answers = [i for i in prediction.instances if _placed(i) and not i.ignore]
        truths = [i for i in target.instances if _placed(i) and not i.ignore]
        regions = [i for i in target.instances if _placed(i) and i.ignore]
        if regions and answers:
            in_region = self._compare(answers, regions, covered=True).max(axis=1) > _HALF
            answers = [i for i, out in zip(answers, in_region, strict=True) if not out]
        rows, columns = match(self._compare(answers, truths), _MORE_THAN_HALF)
        read = [_text(answers[row]) for row in rows]
        written = [_text(truths[column]) for column in columns]
        right, right_ci = 0, 0
        for said, true in zip(read, written, strict=True):
            right += said == true
            right_ci += said.casefold() == true.casefold()
            if longer := max(len(said), len(true)):
                self._distances[longer] += edit_distance(said, true)
        self._counts += [len(rows), len(answers), len(truths), right, right_ci]

    def compute(self) -> dict[str, float]:
        pairs, answers, truths, right, right_ci = (int(count) for count in self._counts)
        precision, recall, hmean = precision_recall_f1([pairs, answers, truths])
        e2e_precision, e2e_recall, e2e_hmean = precision_recall_f1([right, answers, truths])
        _, _, e2e_hmean_ci = precision_recall_f1([right_ci, answers, truths])
        lost = sum(self._distances[length] / length for length in sorted(self._distances))
        everything = answers + truths - pairs

        def share(part: float, whole: int) -> float:
            return part / whole if whole else float(not everything)

        return {
            "hmean": float(hmean),
            "precision": float(precision),
            "recall": float(recall),
            "e2e_hmean": float(e2e_hmean),
            "e2e_precision": float(e2e_precision),
            "e2e_recall": float(e2e_recall),
            "e2e_hmean_ci": float(e2e_hmean_ci),
            "word_accuracy": share(right, pairs),
            "word_accuracy_ci": share(right_ci, pairs),
            "1-ned": share(pairs - lost, everything),
            "1-ned_matched": share(pairs - lost, pairs),
        }

    def state(self) -> State:
        lengths = sorted(self._distances)
        distances = [self._distances[length] for length in lengths]
        return {
            "counts": self._counts.copy(),
            "lengths": np.array(lengths, dtype=np.int64),
            "distances": np.array(distances, dtype=np.int64),
        }

    def absorb(self, state: State) -> None:
        self._counts += state["counts"]
        pairs = zip(state["lengths"].tolist(), state["distances"].tolist(), strict=True)
        self._distances.update(dict(pairs))

    def _compare(
        self, rows: Sequence[Instance], columns: Sequence[Instance], covered: bool = False
    ) -> Array:
        """IoU of every pair, or the share of each row that lies in each column."""
        if self.geometry == "bbox":
            boxes = [np.reshape([_box(i) for i in x], (-1, 4)) for x in (rows, columns)]
            return (box_coverage if covered else box_iou)(*boxes)
        polygons = [[outline(i) for i in x] for x in (rows, columns)]
        return (polygon_coverage if covered else polygon_iou)(*polygons)


def _placed(instance: Instance) -> bool:
    return instance.bbox is not None or instance.polygon is not None


def _box(instance: Instance) -> Array:
    if instance.bbox is not None:
        return instance.bbox
    assert instance.polygon is not None  # it is placed
    return polygon_bounds(instance.polygon)


def _text(instance: Instance) -> str:
    return (instance.text or "").strip()
