"""Whether scores rank right boxes above wrong ones: ``python -m benchmarks.calibration``.

The shipped tiny model answers 200 images of shapes it has not seen: more and smaller things than
in the usual images, of which it gets too few wrong to tell. AP is given with the model's
scores and with constant ones, for the same boxes; AUROC is the probability that a right box (IoU
0.5 with a truth of its phrase) scores above a wrong one; the table has, for scores in each range,
how many boxes there are, their mean score and the share that is right. The expected calibration
error is the mean distance of the two, weighted by the boxes. The last line is JSON.
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


def answers(number: int) -> list[tuple[Prediction, Prediction, Annotation]]:
    """Predictions with scores, at the bins written and at the expected ones, and the truth."""
    images = ShapesDataset(number, seed=SEED, **HARDER)
    samples = [images[i] for i in range(number)]
    task = GroundingTask()
    requests = []
    for sample in samples:
        truth = sample.annotation
        question = task.question(truth.image_size, QuestionArguments(sorted(truth.phrases)))
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
    metric = CocoAP()
    for prediction, truth in rows:
        kept = [i if scores else replace(i, score=None) for i in prediction.instances]
        metric.add(replace(prediction, instances=kept), truth)
    return metric.compute()[f"ap[score={'model' if scores else 'constant'}]"]


def overlaps(prediction: Prediction, truth: Annotation) -> list[float]:
    """The best IoU of each box with a truth of its phrase."""
    found = [
        box_iou(i.bbox[None], truth.boxes(i.phrase)).ravel()  # type: ignore[index]
        for i in prediction.instances
    ]
    return [float(row.max(initial=0.0)) for row in found]


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The share of pairs of a right and a wrong box that the score ranks well; ties count half."""
    difference = scores[right][:, None] - scores[~right]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def main() -> None:
    torch.set_num_threads(1)
    rows = answers(IMAGES)
    scores = np.array([i.score for written, _, _ in rows for i in written.instances])
    best = np.array([o for written, _, truth in rows for o in overlaps(written, truth)])
    finer = np.array([o for _, expected, truth in rows for o in overlaps(expected, truth)])
    right = best >= 0.5
    print(f"{'score':<14}{'boxes':>8}{'mean score':>13}{'right':>9}")
    error = 0.0
    for low, high in pairwise(EDGES):
        within = (scores >= low) & ((scores < high) | (high == 1.0))
        if within.any():
            mean, share = scores[within].mean(), right[within].mean()
            error += within.mean() * abs(mean - share)
            print(f"{low:.2f} to {high:.2f}{within.sum():>10}{mean:>13.3f}{share:>9.3f}")
    written = [(prediction, truth) for prediction, _, truth in rows]
    record = {
        "boxes": len(scores),
        "right": round(float(right.mean()), 4),
        "ap_model": round(average_precision(written, True), 4),
        "ap_constant": round(average_precision(written, False), 4),
        "auroc": round(auroc(scores, right), 4),
        "calibration_error": round(float(error), 4),
        "mean_iou_of_right": round(float(best[right].mean()), 4),
        "mean_iou_of_right_sub_bin": round(float(finer[right].mean()), 4),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
