"""Metrics of visual prompting, with and without the reference boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rexkit.geometry import box_iou, match
from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Instance, Prediction

REFERENCE_IOU = 0.5
"""The least IoU at which a prediction counts as the reference it is matched with."""


@METRICS.register_module()
class VisualPrompting(Metric):
    """Compute metrics of the prompted category, with and without the reference boxes.

    Categories are those of ``extra["category"]`` of the targets; the phrase of a prediction is not
    compared, since the prompt asks for one category. The references are targets too, and easy
    ones, since they are part of the prompt. So each value is also given with
    ``_without_references`` at the end of its name: references, and the predictions that are matched
    with them one to one among all targets (`rexkit.geometry.match`, IoU 0.5), are removed before
    scoring. If all instances of a category were references, nothing is left to be found.

    References are the instances with ``extra["reference"]``, which `VisualPromptTask` sets.

    Args:
        metrics: names or configs of METRICS to compute.
        strict_phrases: count only predictions with the name that the prompt gives the category.
    """

    def __init__(
        self,
        metrics: Sequence[str | Mapping[str, Any]] = ("BoxF1", "CocoAP"),
        strict_phrases: bool = False,
    ):
        self.strict_phrases = strict_phrases
        self._with_references: list[Metric] = []
        self._without_references: list[Metric] = []
        for number, cfg in enumerate(metrics):
            for side in (self._with_references, self._without_references):
                full = {"type": cfg} if isinstance(cfg, str) else cfg
                side.append(METRICS.build(full, key=f"metrics.{number}"))

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        prediction = self.as_asked(prediction, target)
        categories = {i.phrase: str(i.extra.get("category", i.phrase)) for i in target.instances}
        prompted = [i for i in prediction.instances if i.phrase in target.phrases]
        predictions = [replace(i, phrase=categories.get(i.phrase, i.phrase)) for i in prompted]
        targets = [replace(i, phrase=categories[i.phrase]) for i in target.instances]
        for metric in self._with_references:
            _add(metric, prediction, target, predictions, targets)
        references = [i.extra.get("reference", False) for i in targets]
        matched = _matched_references(predictions, targets, references)
        predictions = [i for number, i in enumerate(predictions) if number not in matched]
        targets = [
            i for i, is_reference in zip(targets, references, strict=True) if not is_reference
        ]
        for metric in self._without_references:
            _add(metric, prediction, target, predictions, targets)

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        full = {k: v for metric in self._with_references for k, v in metric.compute().items()}
        rest = {k: v for metric in self._without_references for k, v in metric.compute().items()}
        return full | {f"{name}_without_references": value for name, value in rest.items()}

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        parts = (("all", self._with_references), ("rest", self._without_references))
        return {
            f"{side}.{number}.{name}": array
            for side, metrics in parts
            for number, metric in enumerate(metrics)
            for name, array in metric.state().items()
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        for side, metrics in (("all", self._with_references), ("rest", self._without_references)):
            for number, metric in enumerate(metrics):
                start = f"{side}.{number}."
                own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                metric.absorb(own)


def _add(
    metric: Metric,
    prediction: Prediction,
    target: Annotation,
    predictions: list[Instance],
    targets: list[Instance],
) -> None:
    metric.add(replace(prediction, instances=predictions), replace(target, instances=targets))


def _matched_references(
    predictions: Sequence[Instance], targets: Sequence[Instance], references: Sequence[bool]
) -> set[int]:
    """Return the indices of the predictions that are matched with a reference."""
    found = [n for n, i in enumerate(predictions) if i.bbox is not None and not i.ignore]
    required = [n for n, i in enumerate(targets) if i.bbox is not None and not i.ignore]
    boxes, target_boxes = (
        np.array([side[n].bbox for n in numbers], dtype=np.float64)
        for side, numbers in ((predictions, found), (targets, required))
    )
    rows, columns = match(box_iou(boxes, target_boxes), REFERENCE_IOU)
    return {
        found[row]
        for row, column in zip(rows, columns, strict=True)
        if references[required[column]]
    }
