"""Predictions as the objects of the supervision package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.formats.coco import instance_box, keypoints_or_point
from rexkit.run_lengths import decode_mask
from rexkit.structures import ImageSize, Instance, Prediction


def to_supervision(prediction: Prediction) -> Any:
    """Return ``supervision.Detections``, or ``supervision.KeyPoints`` of keypoints and points.

    Boxes, polygons and masks (by the boxes around them) become detections with ``class_id`` by the
    order of the phrases and ``data["class_name"]``; polygons are in ``data["polygon"]``, masks in
    ``mask``, empty for an instance without one. Keypoints that are not visible are at (0, 0).
    Points of instances with a mask become detections.

    Args:
        prediction: in pixels.

    Raises:
        ImportError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError("to_supervision() needs supervision: pip install supervision") from error
    ids = {phrase: number for number, phrase in enumerate(prediction.phrases)}
    masked = any(i.mask is not None for i in prediction.instances)
    found = [
        i
        for i in prediction.instances
        if i.keypoints is not None or (i.point is not None and not masked)
    ]
    if found:
        rows = [list(keypoints_or_point(i).values()) for i in found]
        points = np.zeros((len(rows), max(map(len, rows)), 2), np.float32)
        for row, keypoints in enumerate(rows):
            for column, xy in enumerate(keypoints):
                points[row, column] = 0 if xy is None else xy
        return supervision.KeyPoints(
            xy=points, class_id=_ids(found, ids), data={"class_name": _phrases(found)}
        )
    found = [i for i in prediction.instances if instance_box(i) is not None]
    scores = [i.score for i in found]
    data: dict[str, Any] = {"class_name": _phrases(found)}
    if any(i.polygon is not None for i in found):
        data["polygon"] = [i.polygon for i in found]
    return supervision.Detections(
        xyxy=np.array([instance_box(i) for i in found], np.float32).reshape(-1, 4),
        mask=_masks(found, prediction.image_size) if masked else None,
        class_id=_ids(found, ids),
        confidence=None if None in scores else np.array(scores, np.float32),
        data=data,
    )


def _masks(instances: Sequence[Instance], image_size: ImageSize) -> NDArray[np.bool_]:
    masks = np.zeros((len(instances), *image_size[::-1]), dtype=np.bool_)
    for row, instance in zip(masks, instances, strict=True):
        if instance.mask is not None:
            row[:] = decode_mask(instance.mask)
    return masks


def _ids(instances: Sequence[Instance], ids: dict[str, int]) -> Any:
    return np.array([ids[i.phrase] for i in instances], np.int64)


def _phrases(instances: Sequence[Instance]) -> Any:
    return np.array([i.phrase for i in instances], dtype=np.str_)
