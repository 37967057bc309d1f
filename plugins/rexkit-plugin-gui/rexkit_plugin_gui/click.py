"""Click accuracy: whether a predicted point is on the requested element.

The measure is that of ScreenSpot (Cheng et al., "SeeClick: Harnessing GUI Grounding for Advanced
Visual GUI Agents", 2024, arXiv:2401.10935, with its public test script): the predicted point, or
the centre of the predicted box, must be inside the ground-truth box, edges included. A prediction
without either is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from rexkit import METRICS, REWARDS, Annotation, Instance, Prediction
from rexkit.geometry import points_in_boxes
from rexkit.metrics import Metric, State
from rexkit.phrases import as_asked
from rexkit.structures import Array


@METRICS.register_module()
class ClickAccuracy(Metric):
    """Compute the share of requested elements that would be clicked, as ScreenSpot does.

    ``click_accuracy`` is over all elements. ``click_accuracy/mobile``, ``…/text`` and
    ``…/mobile/text`` are over the elements of a platform, of an element type and of both, by the
    target's ``extra["platform"]`` and ``extra["data_type"]``; the average in ScreenSpot's tables
    is the mean of the six values of the last form. ``clicks`` is the number of elements; with none,
    ``click_accuracy`` is 1.

    Of several predicted positions the first one is clicked. Of several elements with the same
    phrase, any may be hit. If a single element is requested, the predicted phrase does not matter;
    otherwise phrases must be equal, in any spelling (`rexkit.phrases`). Absent phrases are no
    elements: `Rejection` counts those. A click that hits only an ignored element does not count.
    """

    def __init__(self) -> None:
        self._counts: dict[str, np.ndarray] = {"": np.zeros(2, dtype=np.int64)}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the clicks of one image."""
        for element, right in judge_clicks(prediction, target):
            for group in _groups(element):
                self._count(group, np.array([right, 1]))

    def compute(self) -> dict[str, float]:
        """Return the share of correct clicks of every group, and their number."""
        shares = {name: float(hits / max(total, 1)) for name, (hits, total) in self._counts.items()}
        overall, total = shares.pop(""), float(self._counts[""][1])
        return {
            "click_accuracy": overall if total else 1.0,
            **{f"click_accuracy/{name}": shares[name] for name in sorted(shares)},
            "clicks": total,
        }

    def state(self) -> State:
        """Return the counts of every group."""
        return {
            "groups": np.array(list(self._counts), dtype=np.str_),
            "counts": np.array(list(self._counts.values()), dtype=np.int64),
        }

    def absorb(self, state: State) -> None:
        """Add the counts of another metric."""
        for group, counts in zip(state["groups"].tolist(), state["counts"], strict=True):
            self._count(group, counts)

    def _count(self, group: str, counts: np.ndarray) -> None:
        self._counts[group] = self._counts.get(group, 0) + counts


@REWARDS.register_module("click")
def click(prediction: Prediction, target: Annotation) -> float:
    """Return the share of correct clicks, counting each absent phrase that is rejected as one.

    An element counts as in `ClickAccuracy`. An absent phrase counts as correct if nothing is
    predicted for it. With nothing to judge the reward is 1.

    Args:
        prediction: points or boxes, in pixels.
        target: the ground-truth boxes of the same image.

    Returns:
        A score in [0, 1].

    >>> target = Annotation((20, 20), [Instance("menu", bbox=[0, 0, 8, 8])])
    >>> near, far = (Instance("menu", point=[x, 4]) for x in (7, 9))
    >>> click(Prediction((20, 20), [near]), target), click(Prediction((20, 20), [far]), target)
    (1.0, 0.0)
    """
    prediction = as_asked(prediction, target.phrases)
    claimed = {i.phrase for i in prediction.instances}
    present = {i.phrase for i in target.instances}
    right = [hit for _, hit in judge_clicks(prediction, target)]
    right += [phrase not in claimed for phrase in set(target.absent) - present]
    return float(np.mean(right)) if right else 1.0


def judge_clicks(prediction: Prediction, target: Annotation) -> Iterator[tuple[Instance, bool]]:
    """Yield each requested element and whether it would be clicked, as `ClickAccuracy` counts."""
    prediction = as_asked(prediction, target.phrases)
    for phrase in target.phrases:
        boxed = [i for i in target.of(phrase) if i.bbox is not None]
        elements = [i for i in boxed if not i.ignore]
        if not elements:
            continue
        position = _position(prediction.of(phrase))
        if _hits(position, elements):
            yield elements[0], True
        elif not _hits(position, [i for i in boxed if i.ignore]):
            yield elements[0], False


def _position(predicted: Sequence[Instance]) -> Array | None:
    """Return the first predicted point or centre of a box, x y in pixels."""
    for instance in predicted:
        if instance.point is not None:
            return instance.point
        if instance.bbox is not None:
            x0, y0, x1, y1 = instance.bbox
            return np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return None


def _hits(position: Array | None, elements: Sequence[Instance]) -> bool:
    boxes = [i.bbox for i in elements if i.bbox is not None]
    return position is not None and bool(points_in_boxes([position], boxes).any())


def _groups(element: Instance) -> list[str]:
    """Return the groups of an element: all, its platform, its type, both."""
    platform, kind = (element.extra.get(name) for name in ("platform", "data_type"))
    parts = product({"", str(platform or "")}, {"", str(kind or "")})
    return sorted({"/".join(filter(None, pair)) for pair in parts})
