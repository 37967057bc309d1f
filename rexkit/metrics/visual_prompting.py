"""Visual prompting: what is found of the prompted category, and what of it was not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rexkit.geometry import box_iou, match
from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Instance, Prediction

SHOWN = 0.5
"""The IoU from which on an answer is the reference that it is paired with."""


@METRICS.register_module()
class VisualPrompting(Metric):
    """Box metrics of the prompted category, with and without the reference boxes.

    Only answers under the name that the prompt gives the category count; category by category the
    figures go by ``extra["category"]`` of the truth. References are true boxes too, and easily
    answered: they stand in the prompt. So each figure is there once more with
    ``_without_references`` after its name: the references, and the answers that are paired with
    them one to one among all true boxes (`rexkit.geometry.match`, IoU 0.5), are taken out before
    scoring. Where all of a category was shown, nothing is left to be found.

    References are the instances with ``extra["reference"]``, as `VisualPromptTask` marks them.

    Args:
        metrics: names or configs of METRICS that are computed so.
    """

    def __init__(self, metrics: Sequence[str | Mapping[str, Any]] = ("BoxF1", "CocoAP")):
        self._all: list[Metric] = []
        self._rest: list[Metric] = []
        for number, cfg in enumerate(metrics):
            for side in (self._all, self._rest):
                full = {"type": cfg} if isinstance(cfg, str) else cfg
                side.append(METRICS.build(full, key=f"metrics.{number}"))

    def add(self, prediction: Prediction, target: Annotation) -> None:
        categories = {i.phrase: str(i.extra.get("category", i.phrase)) for i in target.instances}
        prompted = [i for i in prediction.instances if i.phrase in target.phrases]
        answers = [replace(i, phrase=categories.get(i.phrase, i.phrase)) for i in prompted]
        truths = [replace(i, phrase=categories[i.phrase]) for i in target.instances]
        for metric in self._all:
            _feed(metric, prediction, target, answers, truths)
        references = [i.extra.get("reference", False) for i in truths]
        paired = _paired(answers, truths, references)
        answers = [i for number, i in enumerate(answers) if number not in paired]
        truths = [i for i, shown in zip(truths, references, strict=True) if not shown]
        for metric in self._rest:
            _feed(metric, prediction, target, answers, truths)

    def compute(self) -> dict[str, float]:
        whole = {k: v for metric in self._all for k, v in metric.compute().items()}
        rest = {k: v for metric in self._rest for k, v in metric.compute().items()}
        return whole | {f"{name}_without_references": value for name, value in rest.items()}

    def state(self) -> State:
        parts = (("all", self._all), ("rest", self._rest))
        return {
            f"{side}.{number}.{name}": array
            for side, metrics in parts
            for number, metric in enumerate(metrics)
            for name, array in metric.state().items()
        }

    def absorb(self, state: State) -> None:
        for side, metrics in (("all", self._all), ("rest", self._rest)):
            for number, metric in enumerate(metrics):
                start = f"{side}.{number}."
                mine = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                metric.absorb(mine)


def _feed(
    metric: Metric,
    prediction: Prediction,
    target: Annotation,
    answers: list[Instance],
    truths: list[Instance],
) -> None:
    metric.add(replace(prediction, instances=answers), replace(target, instances=truths))


def _paired(
    answers: Sequence[Instance], truths: Sequence[Instance], references: Sequence[bool]
) -> set[int]:
    """The places of the answers that are a reference."""
    found = [n for n, i in enumerate(answers) if i.bbox is not None and not i.ignore]
    true = [n for n, i in enumerate(truths) if i.bbox is not None and not i.ignore]
    boxes, true_boxes = (
        np.array([side[n].bbox for n in numbers], dtype=np.float64)
        for side, numbers in ((answers, found), (truths, true))
    )
    rows, columns = match(box_iou(boxes, true_boxes), SHOWN)
    return {
        found[row] for row, column in zip(rows, columns, strict=True) if references[true[column]]
    }
