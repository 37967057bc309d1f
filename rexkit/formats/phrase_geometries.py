"""Geometries by phrase, as the files of the public Rex-Omni evaluation spell them.

Ground truth and predictions are both ``{phrase: [geometry, …]}``; a phrase that is not in the image
has an empty list. A geometry is one of

- ``[x0, y0, x1, y1]``, ``[x, y]``, or ``[x, y, x, y, x, y, …]``: a box, point or polygon in pixels
- ``{"size": [height, width], "counts": …}``: a mask, COCO run lengths
- ``{"bbox": [4], "keypoints": {name: [x, y]}, "phrase": "person1"}``; an invisible keypoint is left
  out, since the public metric fails on its "unvisible", which is read too

Where that cannot hold everything, rexkit writes an object with the keys of its annotation records
(`rexkit.formats.annotation_records`): ``{"bbox": [4], "text": "EXIT", "ignore": true}``. The
spelling of the public wrapper, ``{"type": "box", "coords": [4]}``, is read too.

The spelling is that of evaluation/inference_text_prompt.py and evaluation/metrics/other_metric.py
in the repository IDEA-Research/Rex-Omni.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.grammar.tokens import INVISIBLE
from rexkit.structures import Annotation, Array, ImageSize, Instance

GeometriesByPhrase = dict[str, list[Any]]
"""``{phrase: [geometry, …]}``, as the module docstring describes it."""

_BY_LENGTH = {4: "bbox", 2: "point"}
_BY_WRAPPER_TYPE = {"box": "bbox", "point": "point", "polygon": "polygon", "mask": "mask"}

# Which of several geometries is written, by the geometry of the predictions. A point is right where
# the object is, so the most exact region is written for it.
_ORDER = {
    "bbox": ("bbox", "polygon", "point", "mask"),
    "point": ("mask", "polygon", "bbox", "point"),
    "polygon": ("polygon", "bbox", "mask", "point"),
}


def encode_annotation(annotation: Annotation, geometry: str | None = "bbox") -> GeometriesByPhrase:
    """Write an annotation or prediction by phrase.

    Args:
        annotation: in pixels.
        geometry: what the predictions consist of, "bbox", "point" or "polygon": each instance is
            written as the public evaluation spells it, with the one of its geometries that such
            predictions are compared with. None writes all that each instance holds.

    Returns:
        What `decode_annotation` reads; every phrase of the annotation is a key.

    >>> cup = Instance("cup", bbox=np.array([1.0, 2, 30, 40]), point=np.array([15.0, 20]))
    >>> annotation = Annotation((640, 480), [cup], ["dog"])
    >>> encode_annotation(annotation)
    {'cup': [[1.0, 2.0, 30.0, 40.0]], 'dog': []}
    >>> encode_annotation(annotation, None)["cup"]
    [{'bbox': [1.0, 2.0, 30.0, 40.0], 'point': [15.0, 20.0]}]
    """
    encoded: GeometriesByPhrase = {phrase: [] for phrase in annotation.phrases}
    for instance in annotation.instances:
        encoded[instance.phrase].append(
            _encode_all(instance)
            if geometry is None
            else _encode_one(instance, _ORDER.get(geometry, _ORDER["bbox"]))
        )
    return encoded


def decode_annotation(geometries: Mapping[str, Sequence[Any]], image_size: ImageSize) -> Annotation:
    """Read what `encode_annotation` wrote; coordinates are not checked against the image.

    Args:
        geometries: ``{phrase: [geometry, …]}``.
        image_size: (width, height) of the image in pixels.

    Raises:
        DataError: a geometry is none of the kinds that the module docstring lists.

    >>> decode_annotation({"cup": [[1, 2, 30, 40]], "dog": []}, (640, 480)).boxes("cup").tolist()
    [[1.0, 2.0, 30.0, 40.0]]
    """
    instances = [
        _instance(phrase, decode_geometry(value, f"{phrase}[{number}]"))
        for phrase, values in geometries.items()
        for number, value in enumerate(values)
    ]
    absent = [phrase for phrase, values in geometries.items() if not values]
    return Annotation(image_size, instances, absent)


def decode_geometry(geometry: Any, location: str) -> dict[str, Any]:
    """Convert a geometry to fields of an annotation record, without the phrase.

    Args:
        geometry: one entry of the list of a phrase.
        location: where it is, for messages.

    Raises:
        DataError: it is none of the kinds that the module docstring lists.

    >>> decode_geometry([3, 4], "gt['cup'][0]")
    {'point': [3, 4]}
    >>> decode_geometry([0, 0, 9, 0, 9, 9], "gt['cup'][1]")
    {'polygon': [0, 0, 9, 0, 9, 9]}
    """
    if isinstance(geometry, Mapping):
        if {"size", "counts"} <= geometry.keys():
            return {"mask": dict(geometry)}
        fields = dict(geometry)
        if "type" in fields and "coords" in fields:
            fields = _from_wrapper(fields, location)
        if isinstance(fields.get("keypoints"), Mapping):
            fields["keypoints"] = {
                name: None if xy == INVISIBLE else xy for name, xy in fields["keypoints"].items()
            }
            if "phrase" in fields:
                fields["name"] = fields.pop("phrase")
        return fields
    if isinstance(geometry, Sequence) and not isinstance(geometry, str) and len(geometry) >= 2:
        return {_BY_LENGTH.get(len(geometry), "polygon"): list(geometry)}
    raise DataError(f"{location} is {short(geometry)}: neither coordinates nor an object")


def _from_wrapper(fields: dict[str, Any], location: str) -> dict[str, Any]:
    kind, coords = fields.pop("type"), fields.pop("coords")
    if kind == "keypoint":
        return {
            "bbox": fields.get("bbox", coords),
            "keypoints": fields.get("keypoints"),
            "name": fields.get("instance_id"),
            "mask": fields.get("mask"),
        }
    if not isinstance(kind, str) or kind not in _BY_WRAPPER_TYPE:
        known = ", ".join((*_BY_WRAPPER_TYPE, "keypoint"))
        raise DataError(f"{location} has the type {short(kind)}; known are {known}")
    return {_BY_WRAPPER_TYPE[kind]: coords, **fields}


def _instance(phrase: str, fields: dict[str, Any]) -> Instance:
    keypoints, polygon = fields.pop("keypoints", None), _array(fields.pop("polygon", None))
    return Instance(
        phrase,
        bbox=_array(fields.pop("bbox", None)),
        point=_array(fields.pop("point", None)),
        polygon=None if polygon is None else polygon.reshape(-1, 2),
        keypoints=keypoints and {name: _array(xy) for name, xy in keypoints.items()},
        mask=fields.pop("mask", None),
        text=fields.pop("text", None),
        name=fields.pop("name", None),
        score=fields.pop("score", None),
        ignore=bool(fields.pop("ignore", False)),
        extra=fields,
    )


def _encode_one(instance: Instance, order: Sequence[str]) -> Any:
    """Encode the first geometry in an order, as an object only where it must hold more."""
    if instance.keypoints is not None:
        geometry = _encode_keypoints(instance)
        geometry["keypoints"] = {
            n: xy for n, xy in geometry["keypoints"].items() if xy != INVISIBLE
        }
        return {**geometry, "ignore": True} if instance.ignore else geometry
    key = next((key for key in order if getattr(instance, key) is not None), None)
    value = _plain(getattr(instance, key)) if key else None
    more: dict[str, Any] = {} if instance.text is None else {"text": instance.text}
    if instance.ignore:
        more["ignore"] = True
    return {**({key: value} if key else {}), **more} if more or key is None else value


def _encode_all(instance: Instance) -> Any:
    """Encode all that an instance holds, as an object only where one geometry is not all."""
    keys = ("bbox", "point", "polygon", "mask", "text", "name", "score")
    fields = {key: _plain(getattr(instance, key)) for key in keys}
    if instance.keypoints is not None:
        fields |= _encode_keypoints(instance) | {"name": None}
    if instance.ignore:
        fields["ignore"] = True
    fields = {key: value for key, value in fields.items() if value is not None} | instance.extra
    alone = len(fields) == 1 and not {"text", "name", "score", "keypoints"} & fields.keys()
    geometry = next(iter(fields.values()), None)
    return geometry if alone and isinstance(geometry, (list, dict)) else fields


def _encode_keypoints(instance: Instance) -> dict[str, Any]:
    keypoints = instance.keypoints or {}
    return {
        "bbox": _plain(instance.bbox),
        "keypoints": {n: INVISIBLE if xy is None else xy.tolist() for n, xy in keypoints.items()},
        "phrase": instance.name or instance.phrase,
    }


def _plain(value: Any) -> Any:
    return value.ravel().tolist() if isinstance(value, np.ndarray) else value


def _array(value: Any) -> Array | None:
    return None if value is None else np.asarray(value, dtype=np.float64)
