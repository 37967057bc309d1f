"""The keypoints of an image as arrays, a phrase at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rexkit.geometry import Mask
from rexkit.instances import area
from rexkit.keypoints import KeypointSchema, schema_of
from rexkit.structures import Annotation, Array, Instance, Prediction


@dataclass
class KeypointSet:
    """What was answered and what is there of one phrase.

    Attributes:
        phrase: what it is called.
        answers: those with keypoints, in the order of the answer.
        truths: those with a box and keypoints, and ignored ones with a box.
        sigmas: (K,), of the schema.
        found: (N, K, 2) pixels, of the answers; NaN for what is invisible or missing.
        true: (M, K, 2) pixels, of the truths.
        boxes: (M, 4) xyxy pixels, of the truths.
        areas: (M,) square pixels: ``extra["area"]`` where the data set gives a number, as COCO's
            files do, else those of the box.
    """

    phrase: str
    answers: list[Instance]
    truths: list[Instance]
    sigmas: Array
    found: Array
    true: Array
    boxes: Array
    areas: Array

    @property
    def labelled(self) -> Mask:
        """Which keypoints of the truths are labelled: (M, K)."""
        return np.asarray(np.isfinite(self.true).all(axis=2))


def keypoint_sets(prediction: Prediction, target: Annotation) -> Iterator[KeypointSet]:
    """The keypoints of every phrase that is answered or there.

    The schema is that of the truth; where a phrase is not there, that of the answer.

    Raises:
        ValueError: the truth has keypoints of no known schema.
    """
    answers = [i for i in prediction.instances if i.keypoints is not None and not i.ignore]
    truths = [
        i for i in target.instances if i.bbox is not None and (i.keypoints is not None or i.ignore)
    ]
    for phrase in dict.fromkeys([i.phrase for i in (*truths, *answers)]):
        answered = [i for i in answers if i.phrase == phrase]
        wanted = [i for i in truths if i.phrase == phrase]
        schema = _schema(phrase, answered, wanted)
        boxes = Annotation(target.image_size, wanted).boxes()
        yield KeypointSet(
            phrase,
            answered,
            wanted,
            np.array([] if schema is None else schema.sigmas, dtype=np.float64),
            _points(answered, schema),
            _points(wanted, schema),
            boxes,
            np.array([area(i, box) for i, box in zip(wanted, boxes, strict=True)]),
        )


def _schema(
    phrase: str, answers: Sequence[Instance], truths: Sequence[Instance]
) -> KeypointSchema | None:
    names = [name for i in truths for name in i.keypoints or ()]
    schema = schema_of(names or [name for i in answers for name in i.keypoints or ()])
    if names and schema is None:
        listed = ", ".join(dict.fromkeys(names))
        raise ValueError(
            f"the keypoints of {phrase!r} are of no known schema: {listed}; add theirs with "
            "rexkit.keypoints.find_schema"
        )
    return schema


def _points(instances: Sequence[Instance], schema: KeypointSchema | None) -> Array:
    if schema is None:
        return np.empty((len(instances), 0, 2))
    points = [schema.array(i.keypoints or {}) for i in instances]
    return np.array(points, dtype=np.float64).reshape(-1, len(schema.keypoints), 2)
