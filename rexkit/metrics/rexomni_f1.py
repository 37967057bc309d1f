"""The figures of the public Rex-Omni evaluation, by its own rules."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rexkit.metrics.metric import Metric, State
from rexkit.metrics.public_matching import IOUS, Items, NotComparableError
from rexkit.metrics.public_scores import (
    ONE_THRESHOLD,
    UNNAMED_TASK,
    ImageScore,
    f1,
    score_image,
)
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Instance, Prediction

_T = len(IOUS)
_OTHERS = ("followed", "wrong_rejection", "count_error", "keypoint_ap", "keypoint_oks", "task")
_COLUMNS = 2 * _T + len(_OTHERS)
_TASKS = ("", *ONE_THRESHOLD)
_LEVELS = {"0.5": slice(0, 1), "0.95": slice(_T - 1, _T), "0.5:0.95": slice(0, _T)}


@METRICS.register_module()
class RexOmniF1(Metric):
    """Compute what the public Rex-Omni evaluation prints, for figures beside published ones.

    Source: evaluation/metrics/other_metric.py in the repository IDEA-Research/Rex-Omni. The rules
    are those of the ``task_name`` of the evaluation set's rows, and differ from rexkit's own:

    - Precision and recall are means over images, and F1 is made of these means. `BoxF1` divides
      sums over all images, so that images weigh by their objects.
    - A target takes the free prediction that overlaps it most, in the order of the file. `BoxF1`
      finds the most matches.
    - Boxes are matched whatever their phrases are ("referring_object_detection", or no
      ``task_name``), or if both phrases are of the ground truth (others): a box of the wrong phrase
      may be right.
    - Phrases are compared by their letters, or by all but case, ``_`` and spaces. `BoxF1` compares
      as `rexkit.phrases` says.
    - An image whose phrases are all absent is wrong, with or without a prediction, unless its row
      names no phrase; "referring_object_detection" and pointing accept an empty response.
    - A keypoint that is not predicted costs nothing, one prediction may match several instances,
      and surplus ones are not counted. `KeypointAP` is COCO's.
    - All categories of a visual prompt are one image, which is scored once.
    - Nothing is ignored, and coordinates outside the image stay there.

    Values, each with ``rexomni_`` before its name: ``f1``, ``precision`` and ``recall``, with
    ``@0.5``, ``@0.95`` and ``@0.5:0.95`` (IoU, or the OKS that stands for it) except for points;
    ``mae``, the error of the number of boxes of visual prompts; ``keypoint_ap@0.5`` and
    ``keypoint_oks``; ``hallucination_accuracy``, the fraction of images with nothing predicted;
    ``gui_accuracy``; ``instruction_following``, the fraction of the ground truth's phrases that are
    in the response; ``wrong_rejection``; ``images``, the number of images, and ``failed``, the
    number of those that the public script fails on and leaves out.

    The ground truth is ``gt`` of the row (``Annotation.extra``), as `RexOmniEvalDataset` keeps it;
    for other datasets, the target.

    Args:
        task_name: the task whose rules are used; None takes that of the row. The public script for
            visual prompts writes none, so that its figures are those of
            "referring_object_detection", without ``mae``.
        fail_on_invisible: leave out images where a keypoint of the ground truth is predicted as
            "unvisible", as the public script fails on that text. By default it is not predicted,
            as in the records of `rexkit test`.
    """

    def __init__(self, task_name: str | None = None, fail_on_invisible: bool = False):
        self.task_name = task_name
        self.fail_on_invisible = fail_on_invisible
        self._scores: list[Array] = []
        self._failed = 0
        # A row whose categories are asked one by one is scored when all are there.
        self._parts: list[dict[str, Any]] = []

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image, or on one category of a visual prompt."""
        extra = target.extra
        task = self.task_name or str(extra.get("task_name") or UNNAMED_TASK)
        found: dict[str, list[Any]] = {phrase: [] for phrase in prediction.phrases}
        for instance in prediction.instances:
            found[instance.phrase].append(self._item(instance))
        truth = extra["gt"] if "gt" in extra else _truth(target)
        category = next(iter(extra.get("visual_prompt") or {}), None)
        if category is None or "row" not in extra:
            self._score(task, truth, found)
            return
        asked = target.phrases[0] if len(target.phrases) == 1 else category
        self._parts.append(
            {
                "row": [extra["row"], task],
                "number": extra.get("number", 0),
                "gt": truth,
                "found": {category: found.get(asked, [])},
            }
        )

    def compute(self) -> dict[str, float]:
        """Return the values over all images added so far."""
        whole = RexOmniF1()
        whole._scores, whole._failed = list(self._scores), self._failed
        rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for part in self._parts:
            rows.setdefault(tuple(part["row"]), []).append(part)
        for (_, task), parts in rows.items():
            parts.sort(key=lambda part: part["number"])
            found = {phrase: items for part in parts for phrase, items in part["found"].items()}
            whole._score(task, parts[0]["gt"], found)
        return whole._values()

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {
            "scores": np.array(self._scores, dtype=np.float64).reshape(-1, _COLUMNS),
            "failed": np.array([self._failed], dtype=np.int64),
            "parts": np.frombuffer(json.dumps(self._parts).encode(), dtype=np.uint8),
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        self._scores += list(state["scores"])
        self._failed += int(state["failed"].sum())
        self._parts += json.loads(state["parts"].tobytes())

    def _item(self, instance: Instance) -> Any:
        """Return a predicted instance as the public records hold it."""
        if instance.keypoints is not None:
            invisible = "unvisible" if self.fail_on_invisible else None
            keypoints = {
                name: invisible if xy is None else xy.tolist()
                for name, xy in instance.keypoints.items()
            }
            return {"bbox": _numbers(instance.bbox), "keypoints": keypoints}
        places = (instance.bbox, instance.point, instance.polygon)
        return _numbers(next((xy for xy in places if xy is not None), None))

    def _score(self, task: str, truth: Any, found: Items) -> None:
        if task == "keypoint" and not self.fail_on_invisible:
            truth = _without_invisible(truth)
        try:
            score = score_image(task, truth, found)
        except NotComparableError:
            self._failed += 1
        else:
            self._scores.append(_row(score, task))

    def _values(self) -> dict[str, float]:
        table = np.array(self._scores, dtype=np.float64).reshape(-1, _COLUMNS)
        precision, recall = (_means(table[:, i * _T : (i + 1) * _T].T) for i in (0, 1))
        others = dict(zip(_OTHERS, table[:, 2 * _T :].T, strict=True))
        kinds = {name: table[others["task"] == number] for number, name in enumerate(_TASKS)}
        values = {"f1": f1(precision, recall), "precision": precision, "recall": recall}
        thresholds = len(kinds[""]) > 0 or not len(table)
        named = {
            f"{name}@{level}" if thresholds else name: float(np.mean(array[where]))
            for name, array in values.items()
            for level, where in (_LEVELS if thresholds else {"": slice(0, 1)}).items()
        }
        for name, column in (
            *(("mae", "count_error"), ("keypoint_ap@0.5", "keypoint_ap")),
            *(("keypoint_oks", "keypoint_oks"), ("instruction_following", "followed")),
            ("wrong_rejection", "wrong_rejection"),
        ):
            known = others[column][np.isfinite(others[column])]
            if len(known):
                named[name] = float(_means([known])[0])
        for name, kind in (("hallucination_accuracy", "hallucination"), ("gui_accuracy", "gui")):
            if len(kinds[kind]):
                named[name] = float(_means([kinds[kind][:, _T]])[0])
        counts = {"images": float(len(table)), "failed": float(self._failed)}
        return {f"rexomni_{name}": value for name, value in (named | counts).items()}


def _row(score: ImageScore, task: str) -> Array:
    missing = (math.nan, math.nan)
    others = (
        score.followed,
        math.nan if task == "hallucination" else score.wrong_rejection,
        math.nan if score.count_error is None else score.count_error,
        *(missing if score.keypoints is None else score.keypoints),
        _TASKS.index(task) if task in _TASKS else 0,
    )
    return np.concatenate([score.precision, score.recall, others])


def _means(rows: Iterable[Any]) -> Array:
    """Return the mean of each row; fsum does not depend on the order."""
    return np.array([math.fsum(row) / max(len(row), 1) for row in rows])


def _numbers(xy: Array | None) -> list[float] | None:
    return None if xy is None else xy.ravel().tolist()


def _truth(target: Annotation) -> dict[str, list[Any]]:
    """Return the ground truth of a dataset that does not keep it in the public form."""
    truth: dict[str, list[Any]] = {}
    for instance in target.instances:
        if instance.ignore:
            continue
        places = (instance.bbox, instance.polygon, instance.point)
        item: Any = _numbers(next((xy for xy in places if xy is not None), None))
        if instance.keypoints is not None:
            item = {
                "bbox": _numbers(instance.bbox),
                "keypoints": {n: _numbers(xy) for n, xy in instance.keypoints.items()},
            }
        elif instance.mask is not None:
            item = instance.mask
        truth.setdefault(instance.text or instance.phrase, []).append(item)
    return truth


def _without_invisible(truth: Any) -> Any:
    if not isinstance(truth, Mapping):
        return truth
    return {phrase: [_visible(item) for item in items] for phrase, items in truth.items()}


def _visible(item: Any) -> Any:
    keypoints = item.get("keypoints") if isinstance(item, Mapping) else None
    if not isinstance(keypoints, Mapping):
        return item
    seen = {n: xy for n, xy in keypoints.items() if xy is not None and not isinstance(xy, str)}
    return {**item, "keypoints": seen}
