"""One image's answer in the formats of other tools: COCO, LabelMe, supervision.

Everything is in pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rexkit.geometry import polygon_bounds
from rexkit.structures import Array, Instance, Prediction


def to_coco(prediction: Prediction, file_name: str, image_id: int = 1) -> dict[str, Any]:
    """A COCO data set of one image.

    Args:
        prediction: what was answered. Points become keypoint annotations of one keypoint.
        file_name: what the image is called in it.
        image_id: its number.

    Returns:
        ``images``, ``annotations`` and ``categories``; a box is ``[x, y, width, height]``. Category
        ids follow the order of the answer, from 1; absent phrases have a category and no
        annotation. A score goes to ``score``, a transcription to ``attributes.text``.
    """
    width, height = prediction.image_size
    ids = {phrase: number for number, phrase in enumerate(prediction.phrases, 1)}
    names: dict[str, list[str]] = {
        i.phrase: list(keypoints) for i in prediction.instances if (keypoints := _keypoints(i))
    }
    annotations = []
    for number, instance in enumerate(prediction.instances, 1):
        bbox = instance_box(instance)
        annotation: dict[str, Any] = {
            "id": number,
            "image_id": image_id,
            "category_id": ids[instance.phrase],
            "iscrowd": 0,
        }
        if bbox is not None:
            x0, y0, x1, y1 = bbox.tolist()
            annotation["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            annotation["area"] = (x1 - x0) * (y1 - y0)
        if instance.polygon is not None:
            annotation["segmentation"] = [instance.polygon.ravel().tolist()]
            annotation["area"] = _area(instance.polygon)
        if keypoints := _keypoints(instance):
            places = [keypoints.get(name) for name in names[instance.phrase]]
            annotation["keypoints"] = [
                value for xy in places for value in ([0, 0, 0] if xy is None else [*xy.tolist(), 2])
            ]
            annotation["num_keypoints"] = sum(xy is not None for xy in places)
        if instance.score is not None:
            annotation["score"] = instance.score
        if instance.text is not None:
            annotation["attributes"] = {"text": instance.text}
        annotations.append(annotation)
    return {
        "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": phrase}
            | ({"keypoints": names[phrase], "skeleton": []} if phrase in names else {})
            for phrase, number in ids.items()
        ],
    }


def to_labelme(prediction: Prediction, file_name: str) -> dict[str, Any]:
    """A LabelMe record: what its editor opens beside the image.

    Args:
        prediction: what was answered. Keypoints are points of their own, grouped with their box.
        file_name: what the image is called in it (``imagePath``).
    """
    shapes = []
    for number, instance in enumerate(prediction.instances):
        group = number if instance.keypoints is not None else None
        label = instance.phrase
        if instance.bbox is not None:
            shapes.append(_shape(label, "rectangle", instance.bbox.reshape(2, 2), group, instance))
        if instance.polygon is not None:
            shapes.append(_shape(label, "polygon", instance.polygon, group, instance))
        if instance.point is not None:
            shapes.append(_shape(label, "point", instance.point[None], group, instance))
        for name, xy in (instance.keypoints or {}).items():
            if xy is not None:
                shapes.append(_shape(name, "point", xy[None], group, instance))
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": file_name,
        "imageData": None,
        "imageHeight": prediction.image_size[1],
        "imageWidth": prediction.image_size[0],
    }


def to_supervision(prediction: Prediction) -> Any:
    """``supervision.Detections``, or ``supervision.KeyPoints`` where the answer has no boxes.

    Boxes and polygons (by the boxes around them) become detections with ``class_id`` by the order
    of the answer's phrases and ``data["class_name"]``; polygons are in ``data["polygon"]``. Answers
    of keypoints or points become key points, those that are not visible at (0, 0).

    Raises:
        ImportError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError("to_supervision() needs it: pip install supervision") from error
    ids = {phrase: number for number, phrase in enumerate(prediction.phrases)}
    found = [i for i in prediction.instances if i.keypoints is not None or i.point is not None]
    if found:
        rows = [list(_keypoints(i).values()) for i in found]
        places = np.zeros((len(rows), max(map(len, rows)), 2), np.float32)
        for row, keypoints in enumerate(rows):
            for column, xy in enumerate(keypoints):
                places[row, column] = 0 if xy is None else xy
        return supervision.KeyPoints(
            xy=places, class_id=_ids(found, ids), data={"class_name": _phrases(found)}
        )
    found = [i for i in prediction.instances if instance_box(i) is not None]
    scores = [i.score for i in found]
    data: dict[str, Any] = {"class_name": _phrases(found)}
    if any(i.polygon is not None for i in found):
        data["polygon"] = [i.polygon for i in found]
    return supervision.Detections(
        xyxy=np.array([instance_box(i) for i in found], np.float32).reshape(-1, 4),
        class_id=_ids(found, ids),
        confidence=None if None in scores else np.array(scores, np.float32),
        data=data,
    )


def instance_box(instance: Instance) -> Array | None:
    """Its box, or the one around its polygon: (4,) xyxy."""
    if instance.bbox is not None or instance.polygon is None:
        return instance.bbox
    return polygon_bounds(instance.polygon)


def _keypoints(instance: Instance) -> dict[str, Array | None]:
    if instance.keypoints is not None:
        return instance.keypoints
    return {} if instance.point is None else {"point": instance.point}


def _area(polygon: Array) -> float:
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _shape(
    label: str, kind: str, points: Array, group: int | None, instance: Instance
) -> dict[str, Any]:
    return {
        "label": label,
        "points": points.tolist(),
        "group_id": group,
        "description": instance.text or "",
        "shape_type": kind,
        "flags": {},
    }


def _ids(instances: Sequence[Instance], ids: dict[str, int]) -> Any:
    return np.array([ids[i.phrase] for i in instances], np.int64)


def _phrases(instances: Sequence[Instance]) -> Any:
    return np.array([i.phrase for i in instances], dtype=np.str_)
