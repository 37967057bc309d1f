"""COCO's average precision of keypoints (OKS AP), by faster-coco-eval."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.keypoints import oks
from rexkit.metrics.coco_evaluation import build_coco, discard, run_evaluation
from rexkit.metrics.keypoint_sets import KeypointSet, keypoint_sets
from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Prediction

METRIC_NAMES = (
    *("oks_ap", "oks_ap50", "oks_ap75", "oks_ap_medium", "oks_ap_large"),
    *("oks_ar", "oks_ar50", "oks_ar75", "oks_ar_medium", "oks_ar_large"),
)
"""The names of COCO's ten values of keypoints, in its order."""

MAX_PREDICTIONS = 20
"""The maximum number of predictions per phrase and image, as in COCO."""

# The number of columns of each table.
_GROUP = 4  # image, phrase, number of predictions, number of targets
_TARGET = 3  # area, crowd, ignored
_PREDICTION = 2  # area, score or NaN


@METRICS.register_module()
class KeypointAP(Metric):
    """Compute COCO's ten values of keypoints; each phrase is a category with its schema's sigmas.

    AP ranks predictions by score. If every prediction has a score, the names end in
    ``[score=model]``. Otherwise all scores are 1, the names end in ``[score=constant]``, and the
    values are comparable only with others of that kind. Equal scores are ranked by image, then in
    the order of the prediction; images are put in an order that depends only on their content, so
    that the values do not depend on the order of adding.

    As in COCO, a value without any target is -1, at most 20 predictions per phrase and image are
    ranked, and an instance without a labelled keypoint is ignored; one marked ``ignore`` is a crowd
    unless ``extra["iscrowd"]`` is false. The area of a prediction is that of the box around its
    keypoints; a keypoint that is not predicted_records has similarity 0.

    The state holds the similarity of each prediction to each target of its phrase, not the
    keypoints.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def __init__(self, strict_phrases: bool = False) -> None:
        self.strict_phrases = strict_phrases
        self._phrases: dict[str, int] = {}
        self._images = 0
        self._keys: list[NDArray[np.uint64]] = []
        self._groups: list[NDArray[np.int64]] = []
        self._truths: list[Array] = []
        self._predictions: list[Array] = []
        self._similarity: list[Array] = []

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image."""
        target_hash, prediction_hash = blake2b(digest_size=8), blake2b(digest_size=8)
        for group in keypoint_sets(self.as_asked(prediction, target), target):
            targets, predictions = _rows(group)
            counts = [self._images, self._index(group.phrase), len(predictions), len(targets)]
            self._groups.append(np.array([counts], dtype=np.int64))
            self._truths.append(targets)
            self._predictions.append(predictions)
            self._similarity.append(_oks(group).ravel())
            name = group.phrase.encode("utf-8", "replace")
            target_hash.update(name + targets.tobytes() + group.target_points.tobytes())
            prediction_hash.update(name + predictions.tobytes() + group.predicted_points.tobytes())
        key = [int.from_bytes(x.digest()) for x in (target_hash, prediction_hash)]
        self._keys.append(np.array([key], dtype=np.uint64))
        self._images += 1

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        state = self.state()
        scores = state["predictions"][:, 1]
        has_scores = len(scores) > 0 and bool(np.isfinite(scores).all())
        if not has_scores:
            scores[:] = 1.0
        source = "model" if has_scores else "constant"
        return {f"{name}[score={source}]": value for name, value in _evaluate(state).items()}

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {
            "phrases": np.array(list(self._phrases), dtype=np.str_),
            "keys": np.concatenate([np.empty((0, 2), np.uint64), *self._keys]),
            "groups": np.concatenate([np.empty((0, _GROUP), np.int64), *self._groups]),
            "targets": np.concatenate([np.empty((0, _TARGET)), *self._truths]),
            "predictions": np.concatenate([np.empty((0, _PREDICTION)), *self._predictions]),
            "similarity": np.concatenate([np.empty(0), *self._similarity]),
        }

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        phrases = np.array([self._index(p) for p in state["phrases"].tolist()], dtype=np.int64)
        groups = state["groups"].copy()
        groups[:, 0] += self._images
        groups[:, 1] = phrases[groups[:, 1]]
        self._groups.append(groups)
        self._truths.append(state["targets"])
        self._predictions.append(state["predictions"])
        self._similarity.append(state["similarity"])
        self._keys.append(state["keys"])
        self._images += len(state["keys"])

    def _index(self, phrase: str) -> int:
        return self._phrases.setdefault(phrase, len(self._phrases))


def _rows(group: KeypointSet) -> tuple[Array, Array]:
    """Return the rows of the targets and those of the predictions."""
    crowd = [i.ignore and bool(i.extra.get("iscrowd", True)) for i in group.targets]
    unlabelled = ~group.labelled.any(axis=1)
    ignored = unlabelled | np.array([i.ignore for i in group.targets], dtype=np.bool_)
    scores = [np.nan if i.score is None else i.score for i in group.predictions]
    targets = np.column_stack([group.areas, crowd, ignored]).astype(np.float64)
    predictions = np.column_stack([_extent(group.predicted_points), scores]).astype(np.float64)
    return targets.reshape(-1, _TARGET), predictions.reshape(-1, _PREDICTION)


def _oks(group: KeypointSet) -> Array:
    """Return the OKS of predictions and targets: (N, M).

    For a target without a labelled keypoint COCO uses the distance of each predicted keypoint to
    a box three times as wide and high as that of the target.
    """
    similarity = oks(group.predicted_points, group.target_points, group.sigmas, group.areas)
    unlabelled = ~group.labelled.any(axis=1)
    if unlabelled.any():
        boxes = group.boxes[unlabelled]
        sides = boxes[:, 2:] - boxes[:, :2]
        low, high = (boxes[:, :2] - sides)[:, None], (boxes[:, 2:] + sides)[:, None]
        found = group.predicted_points[:, None]  # predictions, targets, keypoints, xy
        outside = np.maximum(low - found, 0) + np.maximum(found - high, 0)
        for column, away in zip(
            np.flatnonzero(unlabelled), np.moveaxis(outside, 1, 0), strict=True
        ):
            origin = np.zeros((1, len(group.sigmas), 2))
            similarity[:, column] = oks(away, origin, group.sigmas, group.areas[[column]])[:, 0]
    return similarity


def _extent(points: Array) -> Array:
    """Return the area of the box around the visible keypoints: (N,) for (N, K, 2)."""
    visible = np.isfinite(points)
    low = np.where(visible, points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(visible, points, -np.inf).max(axis=1, initial=-np.inf)
    return np.asarray(np.where(high >= low, high - low, 0.0).prod(axis=1))


def _evaluate(state: State) -> dict[str, float]:
    """Return COCO's values, with images sorted by their keys and phrases by name."""
    groups = state["groups"]
    image_number = 1 + np.argsort(np.lexsort(state["keys"].T[::-1]))
    phrase_number = 1 + np.argsort(np.argsort(state["phrases"]))
    places = np.column_stack([image_number[groups[:, 0]], phrase_number[groups[:, 1]]])
    # A phrase without targets has no values and is not part of the means.
    present = np.unique(groups[groups[:, 3] > 0, 1])
    if len(present) == 0:
        return dict.fromkeys(METRIC_NAMES, -1.0)
    target_records, predicted_records, similarity = [], [], {}
    for (image, phrase), kept, targets, predictions, table in zip(
        places.tolist(),
        np.isin(groups[:, 1], present),
        _split(state["targets"], groups[:, 3]),
        _split(state["predictions"], groups[:, 2]),
        _split(state["similarity"], groups[:, 2] * groups[:, 3]),
        strict=True,
    ):
        if kept:
            place = {"image_id": image, "category_id": phrase, "bbox": [0, 0, 0, 0]}
            target_records += [
                {**place, "area": area, "iscrowd": int(crowd), "num_keypoints": int(not ignored)}
                for area, crowd, ignored in targets.tolist()
            ]
            predicted_records += [
                {**place, "area": area, "score": score} for area, score in predictions.tolist()
            ]
            order = np.argsort(-predictions[:, 1], kind="stable")[:MAX_PREDICTIONS]
            similarity[image, phrase] = table.reshape(len(predictions), len(targets))[order]
    precision, recall = _run(target_records, predicted_records, similarity)
    # precision: (OKS, recall, phrase, size, maximum); recall: (OKS, phrase, size, maximum).
    parts = [
        part
        for table in (precision, recall)
        for part in (
            *(table[..., 0, 0], table[0, ..., 0, 0], table[5, ..., 0, 0]),
            *(table[..., 1, 0], table[..., 2, 0]),
        )
    ]
    known = [part[part > -1] for part in parts]
    means = [float(part.mean()) if part.size else -1.0 for part in known]
    return dict(zip(METRIC_NAMES, means, strict=True))


def _split(rows: Array, sizes: NDArray[np.int64]) -> list[Array]:
    return np.split(rows, np.cumsum(sizes)[:-1])


def _run(
    target_records: list[dict[str, Any]],
    predicted_records: list[dict[str, Any]],
    similarity: dict[tuple[int, int], Array],
) -> tuple[Array, Array]:
    """Return COCO's tables of precision and recall."""
    from faster_coco_eval import COCOeval_faster

    class Evaluation(COCOeval_faster):
        """Takes the OKS from outside, since each phrase may have its own keypoints."""

        def computeOks(self, imgId: int, catId: int) -> Array:  # noqa: N802, N803
            return similarity[imgId, catId]

    images, categories = (
        [{"id": i} for i in sorted({place[axis] for place in similarity})] for axis in (0, 1)
    )
    targets, predictions = (
        build_coco(images, categories, [{**record, "id": i} for i, record in enumerate(records, 1)])
        for records in (target_records, predicted_records)
    )
    return run_evaluation(Evaluation(targets, predictions, "keypoints", print_function=discard))
