"""COCO's average precision of keypoints, by faster-coco-eval."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.keypoints import oks
from rexkit.metrics.keypoint_sets import KeypointSet, keypoint_sets
from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Array, Prediction

FIGURES = (
    *("oks_ap", "oks_ap50", "oks_ap75", "oks_ap_medium", "oks_ap_large"),
    *("oks_ar", "oks_ar50", "oks_ar75", "oks_ar_medium", "oks_ar_large"),
)
"""COCO's ten figures of keypoints, in its order."""

MOST_ANSWERS = 20
"""How many answers a phrase and image are looked at, as in COCO."""

# The columns of a row of each table.
_GROUP = 4  # image, phrase, number of answers, number of truths
_TRUTH = 3  # area, crowd, ignored
_ANSWER = 2  # area, score or NaN


@METRICS.register_module()
class KeypointAP(Metric):
    """COCO's ten figures of keypoints; a phrase is a category, the sigmas are its schema's.

    AP ranks answers by score. Where every answer has one, the names end in ``[score=model]``. The
    answers of a language model have none: then all score 1, the names end in ``[score=constant]``,
    and the figures are comparable only with others made so. Equal scores are ranked by image,
    then as answered; images are put in an order that depends on nothing but what they hold, so
    that the figures do not depend on the order of adding.

    As in COCO, a figure without any truth to it is -1, at most 20 answers a phrase and image are
    looked at, and a thing without a labelled keypoint is ignored; one marked ``ignore`` is a crowd,
    unless ``extra["iscrowd"]`` says no. An answered thing is as large as the box around its
    keypoints; a keypoint that is not answered is like none.

    It keeps the similarity of each answer to each truth of its phrase, and no keypoints.
    """

    def __init__(self) -> None:
        self._phrases: dict[str, int] = {}
        self._images = 0
        self._keys: list[NDArray[np.uint64]] = []
        self._groups: list[NDArray[np.int64]] = []
        self._truths: list[Array] = []
        self._answers: list[Array] = []
        self._alike: list[Array] = []

    def add(self, prediction: Prediction, target: Annotation) -> None:
        truth_hash, answer_hash = blake2b(digest_size=8), blake2b(digest_size=8)
        for group in keypoint_sets(prediction, target):
            truths, answers = _rows(group)
            counts = [self._images, self._index(group.phrase), len(answers), len(truths)]
            self._groups.append(np.array([counts], dtype=np.int64))
            self._truths.append(truths)
            self._answers.append(answers)
            self._alike.append(_similarity(group).ravel())
            name = group.phrase.encode("utf-8", "replace")
            truth_hash.update(name + truths.tobytes() + group.true.tobytes())
            answer_hash.update(name + answers.tobytes() + group.found.tobytes())
        key = [int.from_bytes(x.digest()) for x in (truth_hash, answer_hash)]
        self._keys.append(np.array([key], dtype=np.uint64))
        self._images += 1

    def compute(self) -> dict[str, float]:
        state = self.state()
        scores = state["answers"][:, 1]
        given = len(scores) > 0 and bool(np.isfinite(scores).all())
        if not given:
            scores[:] = 1.0
        source = "model" if given else "constant"
        return {f"{name}[score={source}]": value for name, value in _evaluate(state).items()}

    def state(self) -> State:
        return {
            "phrases": np.array(list(self._phrases), dtype=np.str_),
            "keys": np.concatenate([np.empty((0, 2), np.uint64), *self._keys]),
            "groups": np.concatenate([np.empty((0, _GROUP), np.int64), *self._groups]),
            "truths": np.concatenate([np.empty((0, _TRUTH)), *self._truths]),
            "answers": np.concatenate([np.empty((0, _ANSWER)), *self._answers]),
            "alike": np.concatenate([np.empty(0), *self._alike]),
        }

    def absorb(self, state: State) -> None:
        phrases = np.array([self._index(p) for p in state["phrases"].tolist()], dtype=np.int64)
        groups = state["groups"].copy()
        groups[:, 0] += self._images
        groups[:, 1] = phrases[groups[:, 1]]
        self._groups.append(groups)
        self._truths.append(state["truths"])
        self._answers.append(state["answers"])
        self._alike.append(state["alike"])
        self._keys.append(state["keys"])
        self._images += len(state["keys"])

    def _index(self, phrase: str) -> int:
        return self._phrases.setdefault(phrase, len(self._phrases))


def _rows(group: KeypointSet) -> tuple[Array, Array]:
    """The rows of the truths and of the answers."""
    crowd = [i.ignore and bool(i.extra.get("iscrowd", True)) for i in group.truths]
    unlabelled = ~group.labelled.any(axis=1)
    ignored = unlabelled | np.array([i.ignore for i in group.truths], dtype=np.bool_)
    scores = [np.nan if i.score is None else i.score for i in group.answers]
    truths = np.column_stack([group.areas, crowd, ignored]).astype(np.float64)
    answers = np.column_stack([_extent(group.found), scores]).astype(np.float64)
    return truths.reshape(-1, _TRUTH), answers.reshape(-1, _ANSWER)


def _similarity(group: KeypointSet) -> Array:
    """OKS of answers and truths: (N, M).

    A truth without a labelled keypoint has COCO's stand-in: how far each answered keypoint is
    outside a box three times as wide and high as the true one.
    """
    alike = oks(group.found, group.true, group.sigmas, group.areas)
    unlabelled = ~group.labelled.any(axis=1)
    if unlabelled.any():
        boxes = group.boxes[unlabelled]
        sides = boxes[:, 2:] - boxes[:, :2]
        low, high = (boxes[:, :2] - sides)[:, None], (boxes[:, 2:] + sides)[:, None]
        found = group.found[:, None]  # answers, truths, keypoints, xy
        outside = np.maximum(low - found, 0) + np.maximum(found - high, 0)
        for column, away in zip(
            np.flatnonzero(unlabelled), np.moveaxis(outside, 1, 0), strict=True
        ):
            origin = np.zeros((1, len(group.sigmas), 2))
            alike[:, column] = oks(away, origin, group.sigmas, group.areas[[column]])[:, 0]
    return alike


def _extent(points: Array) -> Array:
    """The area of the box around the visible keypoints: (N,) for (N, K, 2)."""
    seen = np.isfinite(points)
    low = np.where(seen, points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, points, -np.inf).max(axis=1, initial=-np.inf)
    return np.asarray(np.where(high >= low, high - low, 0.0).prod(axis=1))


def _evaluate(state: State) -> dict[str, float]:
    """COCO's figures, the images in the order of their keys and the phrases in that of names."""
    groups = state["groups"]
    image_number = 1 + np.argsort(np.lexsort(state["keys"].T[::-1]))
    phrase_number = 1 + np.argsort(np.argsort(state["phrases"]))
    places = np.column_stack([image_number[groups[:, 0]], phrase_number[groups[:, 1]]])
    # A phrase without truth has no figures and takes no part in the means.
    present = np.unique(groups[groups[:, 3] > 0, 1])
    if len(present) == 0:
        return dict.fromkeys(FIGURES, -1.0)
    wanted, answered, alike = [], [], {}
    for (image, phrase), kept, truths, answers, table in zip(
        places.tolist(),
        np.isin(groups[:, 1], present),
        _split(state["truths"], groups[:, 3]),
        _split(state["answers"], groups[:, 2]),
        _split(state["alike"], groups[:, 2] * groups[:, 3]),
        strict=True,
    ):
        if kept:
            place = {"image_id": image, "category_id": phrase, "bbox": [0, 0, 0, 0]}
            wanted += [
                {**place, "area": area, "iscrowd": int(crowd), "num_keypoints": int(not ignored)}
                for area, crowd, ignored in truths.tolist()
            ]
            answered += [
                {**place, "area": area, "score": score} for area, score in answers.tolist()
            ]
            order = np.argsort(-answers[:, 1], kind="stable")[:MOST_ANSWERS]
            alike[image, phrase] = table.reshape(len(answers), len(truths))[order]
    precision, recall = _run(wanted, answered, alike)
    # precision: (OKS, recall, phrase, size, most answers); recall: the same without the second.
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
    return dict(zip(FIGURES, means, strict=True))


def _split(rows: Array, sizes: NDArray[np.int64]) -> list[Array]:
    return np.split(rows, np.cumsum(sizes)[:-1])


def _run(
    wanted: list[dict[str, Any]],
    answered: list[dict[str, Any]],
    alike: dict[tuple[int, int], Array],
) -> tuple[Array, Array]:
    """COCO's table of precisions and that of recalls."""
    from faster_coco_eval import COCO, COCOeval_faster

    class Evaluation(COCOeval_faster):
        """Takes OKS as given, since every phrase may have its own keypoints."""

        def computeOks(self, imgId: int, catId: int) -> Array:  # noqa: N802, N803
            return alike[imgId, catId]

    def coco(annotations: list[dict[str, Any]]) -> COCO:
        data = {
            "images": [{"id": i} for i in sorted({image for image, _ in alike})],
            "categories": [{"id": i} for i in sorted({phrase for _, phrase in alike})],
            "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
        }
        return COCO(data, print_function=_be_quiet)

    evaluation = Evaluation(coco(wanted), coco(answered), "keypoints", print_function=_be_quiet)
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def _be_quiet(*_: object) -> None:
    """Takes the place of print: the figures are returned."""
