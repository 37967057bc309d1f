"""Geometries by phrase, as the files of the public Rex-Omni evaluation spell them.

Both what is there and what was answered is ``{phrase: [item, …]}``; a phrase that is not in the
image has an empty list. An item is one of

- ``[x0, y0, x1, y1]``, ``[x, y]``, or ``[x, y, x, y, x, y, …]``: a box, point or polygon in pixels
- ``{"size": [height, width], "counts": …}``: a mask, COCO run lengths
- ``{"bbox": [4], "keypoints": {name: [x, y] or "unvisible"}, "phrase": "person1"}``

and where that cannot hold everything, rexkit writes an object with the keys of its own records
(`rexkit.formats.annotation_records`): ``{"bbox": [4], "text": "EXIT", "ignore": true}``.

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

Items = dict[str, list[Any]]

_FLAT = {4: "bbox", 2: "point"}

# Which of several geometries is written, by the geometry of the answers. A point is right where the
# thing is, so the most exact region is written for it.
_ORDER = {
    "bbox": ("bbox", "polygon", "point", "mask"),
    "point": ("mask", "polygon", "bbox", "point"),
    "polygon": ("polygon", "bbox", "mask", "point"),
}


def to_items(annotation: Annotation, geometry: str = "bbox") -> Items:
    """An annotation or prediction by phrase, one geometry an instance.

    Args:
        annotation: in pixels.
        geometry: what the answers consist of, "bbox", "point" or "polygon"; of an instance that
            has several geometries, the one that such answers are compared with is written.

    >>> cup = Instance("cup", bbox=np.array([1.0, 2, 30, 40]), point=np.array([15.0, 20]))
    >>> to_items(Annotation((640, 480), [cup], ["dog"]))
    {'cup': [[1.0, 2.0, 30.0, 40.0]], 'dog': []}
    """
    items: Items = {phrase: [] for phrase in annotation.phrases}
    for instance in annotation.instances:
        items[instance.phrase].append(_item(instance, _ORDER.get(geometry, _ORDER["bbox"])))
    return items


def from_items(items: Mapping[str, Sequence[Any]], image_size: ImageSize) -> Annotation:
    """The annotation that `to_items` wrote; what it holds is not checked.

    >>> from_items({"cup": [[1, 2, 30, 40]], "dog": []}, (640, 480)).boxes("cup").tolist()
    [[1.0, 2.0, 30.0, 40.0]]
    """
    instances = []
    for phrase, values in items.items():
        for place, value in enumerate(values):
            thing = read_item(value, f"{phrase}[{place}]")
            named = thing.get("keypoints")
            polygon = _array(thing.get("polygon"))
            instances.append(
                Instance(
                    phrase,
                    bbox=_array(thing.get("bbox")),
                    point=_array(thing.get("point")),
                    polygon=None if polygon is None else polygon.reshape(-1, 2),
                    keypoints=named and {name: _array(xy) for name, xy in named.items()},
                    mask=thing.get("mask"),
                    text=thing.get("text"),
                    name=thing.get("name"),
                    ignore=bool(thing.get("ignore")),
                )
            )
    return Annotation(image_size, instances, [p for p, values in items.items() if not values])


def read_item(item: Any, place: str) -> dict[str, Any]:
    """An item as a thing of a record, without its phrase.

    Raises:
        DataError: it is none of the kinds above.

    >>> read_item([3, 4], "gt['cup'][0]"), read_item([0, 0, 9, 0, 9, 9], "gt['cup'][1]")
    ({'point': [3, 4]}, {'polygon': [0, 0, 9, 0, 9, 9]})
    """
    if isinstance(item, Mapping):
        if {"size", "counts"} <= item.keys():
            return {"mask": dict(item)}
        thing = dict(item)
        if isinstance(thing.get("keypoints"), Mapping):
            thing["keypoints"] = {
                name: None if xy == INVISIBLE else xy for name, xy in thing["keypoints"].items()
            }
            if "phrase" in thing:
                thing["name"] = thing.pop("phrase")
        return thing
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) >= 2:
        return {_FLAT.get(len(item), "polygon"): list(item)}
    raise DataError(f"{place} is {short(item)}: neither coordinates nor an object")


def _item(instance: Instance, order: Sequence[str]) -> Any:
    if instance.keypoints is not None:
        named = {
            n: INVISIBLE if xy is None else xy.tolist() for n, xy in instance.keypoints.items()
        }
        item: Any = {
            "bbox": _plain(instance.bbox),
            "keypoints": named,
            "phrase": instance.name or instance.phrase,
        }
        return {**item, "ignore": True} if instance.ignore else item
    key = next((key for key in order if getattr(instance, key) is not None), None)
    item = _plain(getattr(instance, key)) if key else None
    more: dict[str, Any] = {} if instance.text is None else {"text": instance.text}
    if instance.ignore:
        more["ignore"] = True
    return {**({key: item} if key else {}), **more} if more or key is None else item


def _plain(value: Any) -> Any:
    return value.ravel().tolist() if isinstance(value, np.ndarray) else value


def _array(value: Any) -> Array | None:
    return None if value is None else np.asarray(value, dtype=np.float64)
