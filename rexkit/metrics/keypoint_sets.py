"""Keypoints of one image as arrays, for each phrase."""

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
    """The own_predictions and target instances of one phrase in one image.

    Attributes:
        phrase: the phrase.
        predictions: the N predictions with keypoints, in their order.
        targets: the M targets with a box and keypoints, and ignored ones with a box.
        sigmas: (K,), those of the schema.
        predicted_points: (N, K, 2) pixels; NaN for keypoints that are invisible or missing.
        target_points: (M, K, 2) pixels; NaN for keypoints that are invisible or missing.
        boxes: (M, 4) xyxy pixels, of the targets.
        areas: (M,) square pixels, of the targets: ``extra["area"]`` where the dataset gives it, as
            COCO's files do, else those of the boxes.
    """

    phrase: str
    predictions: list[Instance]
    targets: list[Instance]
    sigmas: Array
    predicted_points: Array
    target_points: Array
    boxes: Array
    areas: Array

    @property
    def labelled(self) -> Mask:
        """Whether each keypoint of the targets is labelled: (M, K)."""
        return np.asarray(np.isfinite(self.target_points).all(axis=2))


def keypoint_sets(prediction: Prediction, target: Annotation) -> Iterator[KeypointSet]:
    """Iterate over the phrases with own_predictions or target keypoints.

    The schema is that of the targets; for a phrase without targets, that of the predictions.

    Args:
        prediction: the prediction.
        target: the ground truth.

    Yields:
        The instances of each phrase.

    Raises:
        ValueError: no known schema has the target keypoints.
    """
    predictions = [i for i in prediction.instances if i.keypoints is not None and not i.ignore]
    targets = [
        i for i in target.instances if i.bbox is not None and (i.keypoints is not None or i.ignore)
    ]
    for phrase in dict.fromkeys([i.phrase for i in (*targets, *predictions)]):
        own_predictions = [i for i in predictions if i.phrase == phrase]
        own_targets = [i for i in targets if i.phrase == phrase]
        schema = _schema(phrase, own_predictions, own_targets)
        boxes = Annotation(target.image_size, own_targets).boxes()
        yield KeypointSet(
            phrase,
            own_predictions,
            own_targets,
            np.array([] if schema is None else schema.sigmas, dtype=np.float64),
            _points(own_predictions, schema),
            _points(own_targets, schema),
            boxes,
            np.array([area(i, box) for i, box in zip(own_targets, boxes, strict=True)]),
        )


def _schema(
    phrase: str, predictions: Sequence[Instance], targets: Sequence[Instance]
) -> KeypointSchema | None:
    names = [name for i in targets for name in i.keypoints or ()]
    schema = schema_of(names or [name for i in predictions for name in i.keypoints or ()])
    if names and schema is None:
        listed = ", ".join(dict.fromkeys(names))
        raise ValueError(
            f"no known schema has the keypoints of {phrase!r}: {listed}; add one with "
            "rexkit.keypoints.find_schema"
        )
    return schema


def _points(instances: Sequence[Instance], schema: KeypointSchema | None) -> Array:
    if schema is None:
        return np.empty((len(instances), 0, 2))
    points = [schema.array(i.keypoints or {}) for i in instances]
    return np.array(points, dtype=np.float64).reshape(-1, len(schema.keypoints), 2)
