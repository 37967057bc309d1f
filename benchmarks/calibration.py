"""Calibration of scores: whether right boxes score above wrong ones.

    python -m benchmarks.calibration

The shipped tiny model predicts 200 images of shapes that are harder than those of its training:
more and smaller objects, since it makes too few errors on the usual images. AP is given with the
model's scores and with constant ones, for the same boxes; AUROC is the probability that a right box
(IoU 0.5 with a target of its phrase) scores above a wrong one. The table has the number of boxes in
each range of scores, their mean score and the fraction that is right. The expected calibration
error is the mean difference of the last two, weighted by the number of boxes. The last line is
JSON.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rexkit.backends import Request, TransformersBackend, with_scores
from rexkit.datasets import ShapesDataset
from rexkit.geometry import box_iou
from rexkit.grammar import read
from rexkit.metrics import CocoAP
from rexkit.models import TinyVLM
from rexkit.structures import Annotation, Prediction
from rexkit.tasks import GroundingTask, QuestionArguments

IMAGES = 200
SEED = 2024
HARDER: dict[str, Any] = {"num_objects": (2, 5), "num_absent": (1, 3), "object_size": (0.12, 0.35)}
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def predict(number: int) -> list[tuple[Prediction, Prediction, Annotation]]:
    """Return predictions with scores, at the written and at the expected bins, and targets."""
    images = ShapesDataset(number, seed=SEED, **HARDER)
    samples = [images[i] for i in range(number)]
    task = GroundingTask()
    requests = []
    for sample in samples:
        target = sample.annotation
        question = task.question(target.image_size, QuestionArguments(sorted(target.phrases)))
        requests.append(Request(sample.image, question.prompt, task.answer_form(question)))
    backend = TransformersBackend(
        TinyVLM(), batch_size=100, max_new_tokens=160, presence="marginal", constrain=True
    )
    rows = []
    for sample, generation in zip(samples, backend.generate(requests), strict=True):
        prediction = read(generation.text, sample.annotation.image_size)
        written, expected = (
            with_scores(prediction, generation, backend.vocabulary, sub_bin=sub_bin)
            for sub_bin in (False, True)
        )
        rows.append((written, expected, sample.annotation))
    return rows


def average_precision(rows: list[tuple[Prediction, Annotation]], scores: bool) -> float:
    """Return the AP with the model's scores or with constant ones."""
    metric = CocoAP()
    for prediction, target in rows:
        kept = [i if scores else replace(i, score=None) for i in prediction.instances]
        metric.add(replace(prediction, instances=kept), target)
    return metric.compute()[f"ap[score={'model' if scores else 'constant'}]"]


def overlaps(prediction: Prediction, target: Annotation) -> list[float]:
    """Return the best IoU of each box with a target of its phrase."""
    found = [
        box_iou(i.bbox[None], target.boxes(i.phrase)).ravel()  # type: ignore[index]
        for i in prediction.instances
    ]
    return [float(row.max(initial=0.0)) for row in found]


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the fraction of pairs of a right and a wrong box in order; ties count half."""
    difference = scores[right][:, None] - scores[~right]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def main() -> None:
    """Print the table and the results."""
    torch.set_num_threads(1)
    rows = predict(IMAGES)
    scores = np.array([i.score for written, _, _ in rows for i in written.instances])
    best = np.array([o for written, _, target in rows for o in overlaps(written, target)])
    best_expected = np.array(
        [o for _, expected, target in rows for o in overlaps(expected, target)]
    )
    right = best >= 0.5
    print(f"{'score':<14}{'boxes':>8}{'mean score':>13}{'right':>9}")
    error = 0.0
    for low, high in pairwise(EDGES):
        within = (scores >= low) & ((scores < high) | (high == 1.0))
        if within.any():
            mean, fraction = scores[within].mean(), right[within].mean()
            error += within.mean() * abs(mean - fraction)
            print(f"{low:.2f} to {high:.2f}{within.sum():>10}{mean:>13.3f}{fraction:>9.3f}")
    written = [(prediction, target) for prediction, _, target in rows]
    record = {
        "boxes": len(scores),
        "right": round(float(right.mean()), 4),
        "ap_model": round(average_precision(written, True), 4),
        "ap_constant": round(average_precision(written, False), 4),
        "auroc": round(auroc(scores, right), 4),
        "calibration_error": round(float(error), 4),
        "mean_iou_of_right": round(float(best[right].mean()), 4),
        "mean_iou_of_right_sub_bin": round(float(best_expected[right].mean()), 4),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
