"""Rejection: does the model see that something is not there?"""

from __future__ import annotations

import numpy as np

from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction


@METRICS.register_module()
class Rejection(Metric):
    """Which share of the phrases that are not in the image is answered without an instance.

    ``rejection_accuracy`` asks only that nothing is claimed, as the HumanRef benchmark does.
    ``answered_none`` is the share whose answer says ``None``: it stays behind where an answer is
    cut off or cannot be read. ``absent`` is how many such phrases were asked. With none, nothing
    was claimed in vain and both shares are 1.

    A phrase whose true instances are all ignored is not absent: what the answer holds of it does
    not count.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(3, dtype=np.int64)

    def add(self, prediction: Prediction, target: Annotation) -> None:
        present = {i.phrase for i in target.instances}
        absent = set(target.absent) - present
        claimed = {i.phrase for i in prediction.instances if not i.ignore}
        rejected = absent - claimed
        self._counts += [len(absent), len(rejected), len(rejected & set(prediction.absent))]

    def compute(self) -> dict[str, float]:
        absent, rejected, said = (float(count) for count in self._counts)
        return {
            "rejection_accuracy": rejected / absent if absent else 1.0,
            "answered_none": said / absent if absent else 1.0,
            "absent": absent,
        }

    def state(self) -> State:
        return {"counts": self._counts.copy()}

    def absorb(self, state: State) -> None:
        self._counts += state["counts"]
