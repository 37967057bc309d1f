"""COCO JSON: images, annotations and categories in one file, read and written."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.geometry import polygon_area, polygon_bounds
from rexkit.keypoints import KeypointSchema
from rexkit.structures import Array, Instance, Prediction

_REQUIRED = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}
_FIRST_KEY = re.compile(rb'\s*{\s*($|"(info|licenses|images|annotations|categories)"\s*:)')


def is_coco(path: Path) -> bool:
    """Return whether a file looks like COCO JSON rather than JSON Lines, by its first line."""
    with path.open("rb") as file:
        line = file.readline().removeprefix(codecs.BOM_UTF8)
    try:
        first = json.loads(line)
    except ValueError:  # an object over several lines
        return bool(_FIRST_KEY.match(line))
    return isinstance(first, dict) and isinstance(first.get("images"), list)


def read_coco(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read a COCO JSON file and check the fields that everything rests on.

    Args:
        path: the file.

    Returns:
        ``images``, ``annotations`` and ``categories``. An image without ``file_name`` has it from
        its ``coco_url``, as in LVIS.

    Raises:
        DataError: it is not JSON, a list or a field is missing, or an id is there twice.
    """
    try:
        data: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"bad JSON ({error})", str(path)) from error
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        data["images"] = [_with_file_name(image) for image in data["images"]]
    for name, fields in _REQUIRED.items():
        entries = data.get(name) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"COCO JSON has a list {name!r}; this file has none", str(path))
        for number, entry in enumerate(entries):
            missing = [f for f in fields if not isinstance(entry, dict) or f not in entry]
            if missing:
                raise DataError(f"{name}[{number}] has no {missing[0]!r}", str(path))
        if "id" in fields and len({entry["id"] for entry in entries}) != len(entries):
            raise DataError(f"two of {name!r} have the same id", str(path))
    return {name: data[name] for name in _REQUIRED}


def coco_entry(
    annotation: Mapping[str, Any], phrase: str, keypoint_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Convert a COCO annotation to an entry of an annotation record.

    Args:
        annotation: of the file.
        phrase: what its category is called.
        keypoint_names: of its keypoints, in order; left out, they stay a flat list.

    Raises:
        DataError: it has another number of keypoints.
    """
    entry = {"phrase": phrase, **annotation}
    for field in ("image_id", "category_id"):
        del entry[field]
    entry["ignore"] = entry.pop("iscrowd", 0)
    bbox = entry.get("bbox")
    # What is no box stays as it is, for the checks to name.
    if isinstance(bbox, list) and [type(x) in (int, float) for x in bbox] == [True] * 4:
        x, y, width, height = bbox
        entry["bbox"] = [x, y, x + width, y + height]
    if keypoint_names is not None and "keypoints" in entry:
        entry["keypoints"] = _named_keypoints(entry["keypoints"], keypoint_names)
    return entry


def category_keypoints(
    categories: Sequence[Mapping[str, Any]], schema: KeypointSchema, path: Path
) -> dict[Any, list[str]]:
    """Return the schema's names for the keypoints of each category that has any, by its id.

    Args:
        categories: of the file.
        schema: the keypoints that the categories must have.
        path: of the file, for messages.

    Raises:
        DataError: a category has other keypoints, or none has any.
    """
    found = {}
    for category in categories:
        if names := category.get("keypoints"):
            try:
                found[category["id"]] = schema.rename(names)
            except ValueError as error:
                raise DataError(str(error), f"{path}: category {category['name']!r}") from error
    if not found:
        raise DataError("no category lists its 'keypoints'", str(path))
    return found


def to_coco(prediction: Prediction, file_name: str, image_id: int = 1) -> dict[str, Any]:
    """Return a COCO data set of one image.

    Args:
        prediction: in pixels. Points become keypoint annotations of one keypoint.
        file_name: of the image.
        image_id: of the image.

    Returns:
        ``images``, ``annotations`` and ``categories``; a box is ``[x, y, width, height]``. Category
        ids follow the order of the phrases, from 1; absent phrases have a category and no
        annotation. A score goes to ``score``, a transcription to ``attributes.text``.
    """
    width, height = prediction.image_size
    ids = {phrase: number for number, phrase in enumerate(prediction.phrases, 1)}
    names: dict[str, list[str]] = {
        i.phrase: list(keypoints)
        for i in prediction.instances
        if (keypoints := keypoints_or_point(i))
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
            annotation["area"] = polygon_area(instance.polygon)
        if keypoints := keypoints_or_point(instance):
            points = [keypoints.get(name) for name in names[instance.phrase]]
            annotation["keypoints"] = [
                value for xy in points for value in ([0, 0, 0] if xy is None else [*xy.tolist(), 2])
            ]
            annotation["num_keypoints"] = sum(xy is not None for xy in points)
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


def instance_box(instance: Instance) -> Array | None:
    """Return the box of an instance, or the one around its polygon: (4,) xyxy in pixels."""
    if instance.bbox is not None or instance.polygon is None:
        return instance.bbox
    return polygon_bounds(instance.polygon)


def keypoints_or_point(instance: Instance) -> dict[str, Array | None]:
    """Return the keypoints of an instance by name, a point as the only one of the name "point"."""
    if instance.keypoints is not None:
        return instance.keypoints
    return {} if instance.point is None else {"point": instance.point}


def _named_keypoints(triples: Any, names: Sequence[str]) -> dict[str, list[float] | None]:
    """Places by name, from COCO's x, y, v of every keypoint."""
    if not isinstance(triples, list) or len(triples) != 3 * len(names):
        raise DataError(f"keypoints must be {len(names)} times x, y, v; got {short(triples)}")
    points = zip(triples[0::3], triples[1::3], triples[2::3], strict=True)
    return {name: [x, y] if v else None for name, (x, y, v) in zip(names, points, strict=True)}


def _with_file_name(image: Any) -> Any:
    """Name the file of an image that has only ``coco_url``, as in LVIS: ``train2017/000….jpg``."""
    if isinstance(image, dict) and "file_name" not in image and "coco_url" in image:
        return {**image, "file_name": "/".join(str(image["coco_url"]).split("/")[-2:])}
    return image
