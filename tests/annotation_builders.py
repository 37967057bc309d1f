"""Predictions and ground truths for tests: built by hand or with noise, and scored by a metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rexkit.metrics.metric import Metric
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (100, 100)


def box(phrase: str, *xyxy: float, **fields: Any) -> Instance:
    return Instance(phrase, bbox=np.array(xyxy, dtype=float), **fields)


def point(phrase: str, x: float, y: float, **fields: Any) -> Instance:
    return Instance(phrase, point=np.array([x, y], dtype=float), **fields)


def gt(
    *instances: Instance, absent: Sequence[str] = (), size: tuple[int, int] = SIZE
) -> Annotation:
    return Annotation(size, instances, absent)


def pred(
    *instances: Instance, absent: Sequence[str] = (), size: tuple[int, int] = SIZE
) -> Prediction:
    return Prediction(size, instances, absent)


def score(metric: Metric, *pairs: tuple[Prediction, Annotation]) -> dict[str, float]:
    for prediction, target in pairs:
        metric.add(prediction, target)
    return metric.compute()


def noisy_images(number: int, seed: int, scored: bool) -> Iterator[tuple[Prediction, Annotation]]:
    """Images with noisy predictions, crowds, misses, and phrases that were not asked for."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        phrases = [f"object {i}" for i in rng.integers(0, 4, rng.integers(0, 7))]
        corners = rng.uniform(0, 300, (len(phrases), 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 200, corners.shape)])
        targets = [
            Instance(p, bbox=b, ignore=bool(rng.random() < 0.1))
            for p, b in zip(phrases, boxes, strict=True)
        ]
        predicted = []
        for i in targets:
            for _ in range(rng.integers(0, 3)):
                near = i.bbox + rng.normal(0, 6, 4)
                predicted.append(
                    Instance(i.phrase, bbox=near, score=float(rng.random()) if scored else None)
                )
        extra = Instance("object 9", bbox=np.array([0.0, 0, 9, 9]), score=0.5 if scored else None)
        order = rng.permutation(len(predicted))
        yield (
            pred(*(predicted[i] for i in order), extra, size=(640, 480)),
            gt(*targets, size=(640, 480)),
        )
