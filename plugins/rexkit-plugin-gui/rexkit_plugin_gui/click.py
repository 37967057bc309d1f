"""Clicks: where an answer says to click, and whether that is on the element asked for.

The measure is that of ScreenSpot (Cheng et al., "SeeClick: Harnessing GUI Grounding for Advanced
Visual GUI Agents", 2024, arXiv:2401.10935, with its public test script): an answer's point, or the
centre of its box, must lie inside the true box, edges included. An answer without either is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from rexkit import METRICS, REWARDS, Annotation, Instance, Prediction
from rexkit.geometry import points_in_boxes
from rexkit.metrics import Metric
from rexkit.metrics.metric import State
from rexkit.structures import Array


@METRICS.register_module()
class ClickAccuracy(Metric):
    """Which share of the elements asked for would be clicked, as ScreenSpot counts.

    ``click_accuracy`` is over all of them. ``click_accuracy/mobile``, ``…/text`` and
    ``…/mobile/text`` are over those of a platform, of an element type and of both, as the truth's
    ``extra["platform"]`` and ``extra["data_type"]`` say; the average that ScreenSpot's tables give
    is the mean of the six figures of the last kind. ``clicks`` is how many were asked for; with
    none, nothing was missed and ``click_accuracy`` is 1.

    Of several places answered the first is clicked. Of several elements that share the words asked
    for, any may be hit. Where one element is asked for, the answer's own words do not matter; where
    several are, each is sought under its words. Words that are not in the image are no element:
    `Rejection` counts those. A click that hits only an ignored element does not count.
    """

    def __init__(self) -> None:
        self._counts: dict[str, np.ndarray] = {"": np.zeros(2, dtype=np.int64)}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        for element, right in judge_clicks(prediction, target):
            for group in _groups(element):
                self._count(group, np.array([right, 1]))

    def compute(self) -> dict[str, float]:
        shares = {name: float(hits / max(asked, 1)) for name, (hits, asked) in self._counts.items()}
        overall, asked = shares.pop(""), float(self._counts[""][1])
        return {
            "click_accuracy": overall if asked else 1.0,
            **{f"click_accuracy/{name}": shares[name] for name in sorted(shares)},
            "clicks": asked,
        }

    def state(self) -> State:
        return {
            "groups": np.array(list(self._counts), dtype=np.str_),
            "counts": np.array(list(self._counts.values()), dtype=np.int64),
        }

    def absorb(self, state: State) -> None:
        for group, counts in zip(state["groups"].tolist(), state["counts"], strict=True):
            self._count(group, counts)

    def _count(self, group: str, counts: np.ndarray) -> None:
        self._counts[group] = self._counts.get(group, 0) + counts


@REWARDS.register_module("click")
def click(prediction: Prediction, target: Annotation) -> float:
    """The share of right clicks: 1 for a click on each element asked for, and none in vain.

    An element counts as in `ClickAccuracy`; words that are not in the image count as right where
    the answer claims nothing of that name. With nothing to judge the reward is 1.

    >>> box = Instance("menu", bbox=np.array([0.0, 0.0, 8.0, 8.0]))
    >>> near, far = (Instance("menu", point=np.array([x, 4.0])) for x in (7.0, 9.0))
    >>> truth = Annotation((20, 20), [box])
    >>> click(Prediction((20, 20), [near]), truth), click(Prediction((20, 20), [far]), truth)
    (1.0, 0.0)
    """
    claimed = {i.phrase for i in prediction.instances}
    present = {i.phrase for i in target.instances}
    right = [hit for _, hit in judge_clicks(prediction, target)]
    right += [phrase not in claimed for phrase in set(target.absent) - present]
    return float(np.mean(right)) if right else 1.0


def judge_clicks(prediction: Prediction, target: Annotation) -> Iterator[tuple[Instance, bool]]:
    """Each element asked for, and whether it would be clicked; `ClickAccuracy` says how."""
    alone = len(target.phrases) == 1
    for phrase in target.phrases:
        boxed = [i for i in target.of(phrase) if i.bbox is not None]
        elements = [i for i in boxed if not i.ignore]
        if not elements:
            continue
        place = _place(prediction.of(None if alone else phrase))
        if _hits(place, elements):
            yield elements[0], True
        elif not _hits(place, [i for i in boxed if i.ignore]):
            yield elements[0], False


def _place(answers: Sequence[Instance]) -> Array | None:
    """Where an answer is clicked: its first point or centre of a box, x y in pixels."""
    for answer in answers:
        if answer.point is not None:
            return answer.point
        if answer.bbox is not None:
            x0, y0, x1, y1 = answer.bbox
            return np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return None


def _hits(place: Array | None, elements: Sequence[Instance]) -> bool:
    boxes = [i.bbox for i in elements if i.bbox is not None]
    return place is not None and bool(points_in_boxes([place], boxes).any())


def _groups(element: Instance) -> list[str]:
    """The groups an element belongs to: all, its platform, its type, both."""
    platform, kind = (element.extra.get(name) for name in ("platform", "data_type"))
    parts = product({"", str(platform or "")}, {"", str(kind or "")})
    return sorted({"/".join(filter(None, pair)) for pair in parts})
