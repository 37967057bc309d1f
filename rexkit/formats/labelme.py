"""LabelMe records: one JSON file an image."""

from __future__ import annotations

from typing import Any

from rexkit.structures import Array, Instance, Prediction


def to_labelme(prediction: Prediction, file_name: str) -> dict[str, Any]:
    """Return a LabelMe record, which its editor opens beside the image.

    Args:
        prediction: in pixels. Keypoints are points of their own, grouped with their box.
        file_name: of the image (``imagePath``).
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
