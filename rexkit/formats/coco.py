"""COCO JSON: images, annotations and categories in one file, read and written."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.json_lines import JsonStart, parse_json
from rexkit.geometry import polygon_area
from rexkit.instances import HIDDEN_KEYPOINTS, extent, has_outline, keypoint_visibility
from rexkit.keypoints import KeypointSchema, plain_names
from rexkit.run_lengths import decode_mask, packed_mask
from rexkit.structures import Array, Instance, Prediction

_REQUIRED = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}
_ROTATIONS = ("rotation", "angle")


def is_coco(path: Path) -> bool:
    """Return whether a file is COCO JSON rather than JSON Lines, by its keys."""
    start = JsonStart.of(path)
    lists = {key for key, opening in start.keys.items() if opening == "["}
    if start.closed:  # a row of JSON Lines may have a list "images" too
        return start.alone and "images" in lists and bool(lists & {"annotations", "categories"})
    if start.keys.keys() & {"image", "image_name"}:
        return False
    return "images" in lists if start.whole else bool(lists & {*_REQUIRED})


def read_coco(
    path: Path, unusable: list[DataError] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Read a COCO JSON file and check the fields that everything rests on.

    Args:
        path: the file.
        unusable: a list to which an error is added for each entry that lacks a field or has no
            usable id, and is left out; without it such an entry is raised.

    Returns:
        ``images``, ``annotations`` and ``categories``. An image without ``file_name`` has it from
        its ``coco_url``, as in LVIS. The ids in annotations are those that the other lists have,
        where they differ in type only: "7" and "007" are 7.

    Raises:
        DataError: it is not JSON, a list or a field is missing, or an id is there twice or is
            neither a number nor a string.
    """
    try:
        data = parse_json(path.read_bytes())
    except DataError as error:
        start = JsonStart.of(path)
        lines = "; it is JSON Lines, which JsonlDataset reads" * (start.closed and not start.alone)
        raise DataError(f"{error.reason}{lines}", str(path)) from error
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        data["images"] = [_with_file_name(image) for image in data["images"]]
    for name, fields in _REQUIRED.items():
        entries = data.get(name) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            own = isinstance(data, dict) and "images" in data
            hint = None if own else foreign_format(data)
            raise DataError(
                f"COCO JSON has a list {name!r}; this file has none{f': {hint}' if hint else ''}",
                str(path),
            )
        good = []
        for number, entry in enumerate(entries):
            bad = _entry_error(name, number, entry, fields, path)
            if bad is None:
                good.append(entry)
            elif unusable is None:
                raise bad
            else:
                unusable.append(bad)
        data[name] = good
    for name in ("images", "categories"):
        _check_ids(name, data[name], path)
    images, categories = (_Ids(data[name]) for name in ("images", "categories"))
    for annotation in data["annotations"]:
        annotation["image_id"] = images.find(annotation["image_id"])
        annotation["category_id"] = categories.find(annotation["category_id"])
    return {name: data[name] for name in _REQUIRED}


def grouping_categories(
    categories: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return the ids of categories that only group others.

    These are the supercategories of others that have no annotation themselves. Exports of Roboflow
    begin with one that has the project's name.

    Args:
        categories: of the file.
        annotations: of the file, as `read_coco` returns them.

    >>> root, cup = {"id": 0, "name": "kitchen"}, {"id": 1, "name": "cup"}
    >>> grouping_categories([root, cup | {"supercategory": "kitchen"}], [{"category_id": 1}])
    [0]
    """
    annotated = {annotation["category_id"] for annotation in annotations}
    groups = {
        str(c.get("supercategory")) for c in categories if c.get("supercategory") != c["name"]
    }
    return [c["id"] for c in categories if str(c["name"]) in groups and c["id"] not in annotated]


def coco_entry(
    annotation: Mapping[str, Any], phrase: str, keypoint_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Convert a COCO annotation to an entry of an annotation record.

    Args:
        annotation: of the file.
        phrase: what its category is called.
        keypoint_names: of its keypoints, in order; left out, they stay a flat list. Those that are
            hidden (v = 1) are listed in ``hidden_keypoints``.

    Returns:
        The entry; ``bbox`` is as in the file. Where it is missing or null, or the annotation has a
        rotation other than 0, it is to be the box around the segmentation.

    Raises:
        DataError: it has another number of keypoints, or neither a box nor a segmentation.
    """
    entry = {"phrase": phrase, **annotation}
    for field in ("image_id", "category_id"):
        del entry[field]
    marks = [entry.pop(field, 0) for field in ("iscrowd", "ignore")]
    # What is no number stays as it is, for the checks to name.
    entry["ignore"] = next((m for m in marks if not isinstance(m, int | float | None)), any(marks))
    turned = _rotation(annotation)
    if turned or not entry.get("bbox"):
        entry.pop("bbox", None)
        _check_outline(annotation, turned)
        entry["bbox_around_outline"] = True
        entry.pop("rotation", None)
    if keypoint_names is not None and "keypoints" in entry:
        triples = entry["keypoints"]
        entry["keypoints"] = _named_keypoints(triples, keypoint_names)
        hidden = [n for n, v in zip(keypoint_names, triples[2::3], strict=True) if v == 1]
        entry |= {HIDDEN_KEYPOINTS: hidden} if hidden else {}
    return entry


def category_keypoints(
    categories: Sequence[Mapping[str, Any]], schema: KeypointSchema | None, path: Path
) -> dict[Any, list[str]]:
    """Return names for the keypoints of each category that lists any, by its id.

    Args:
        categories: of the file.
        schema: the keypoints that the categories must have, whose names are returned; None takes
            the names of the file, as `rexkit.keypoints.plain_names` spells them.
        path: of the file, for messages.

    Raises:
        DataError: a category has other keypoints than the schema, or has names that are no
            different strings, or none has any.
    """
    found = {}
    for category in categories:
        if names := category.get("keypoints"):
            place = f"{path}: category {category['name']!r}"
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise DataError(f"keypoints must be a list of names, got {short(names)}", place)
            try:
                renamed = plain_names(names) if schema is None else schema.rename(names)
            except ValueError as error:
                raise DataError(str(error), place) from error
            if len(set(renamed)) < len(renamed):
                raise DataError(f"two keypoints have the same name: {short(names)}", place)
            found[category["id"]] = renamed
    if not found and schema is not None:
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
        annotation. A mask is ``segmentation`` as run lengths; a polygon beside it is ``polygon``. A
        score goes to ``score``, a transcription to ``attributes.text``.
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
            annotation["area"] = _area_of(instance, bbox)
        annotation |= _segmentation(instance)
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


def to_coco_annotation(instance: Instance, keypoints: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return a COCO annotation, without its ids; None for an instance without extent.

    Args:
        instance: in pixels. Its text, score and ``extra`` become fields of their names; a polygon
            beside a mask becomes ``polygon``. `coco_entry` reads them back. Without a box, it gets
            the one around it.
        keypoints: the names of the keypoints of its category, in order.
    """
    box = extent(instance)
    if np.isnan(box).any() or (instance.bbox is None and (box[2:] <= box[:2]).all()):
        return None
    x0, y0, x1, y1 = box.tolist()
    own = ("id", "image_id", "category_id", "iscrowd", "segmentation", "not_exhaustive")
    fields = {name: value for name, value in instance.extra.items() if name not in own}
    fields |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": int(instance.ignore)}
    fields |= _segmentation(instance)
    if "area" not in fields:
        fields["area"] = _area_of(instance, box)
    if instance.keypoints:
        visibility = keypoint_visibility(instance)
        places = {name: instance.keypoints.get(name) for name in keypoints}
        fields["keypoints"] = [
            value
            for name, xy in places.items()
            for value in ([0, 0, 0] if xy is None else [*xy.tolist(), visibility[name]])
        ]
        fields["num_keypoints"] = sum(xy is not None for xy in places.values())
        fields.pop(HIDDEN_KEYPOINTS, None)
    more = {"text": instance.text, "score": instance.score}
    if instance.point is not None:
        more["point"] = instance.point.tolist()
    return fields | {name: value for name, value in more.items() if value is not None}


def _segmentation(instance: Instance) -> dict[str, Any]:
    """Return the mask as ``segmentation`` and the polygon beside it, or the polygon alone."""
    outline = None if instance.polygon is None else instance.polygon.ravel().tolist()
    if instance.mask is None:
        return {} if outline is None else {"segmentation": [outline]}
    mask = packed_mask(instance.mask)
    counts = mask["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    rle = {"size": mask["size"], "counts": text}
    return {"segmentation": rle} | ({} if outline is None else {"polygon": outline})


def _area_of(instance: Instance, box: Array) -> float:
    if instance.mask is not None:
        return float(decode_mask(instance.mask).sum())
    if instance.polygon is not None:
        return polygon_area(instance.polygon)
    return float((box[2:] - box[:2]).prod())


def instance_box(instance: Instance) -> Array | None:
    """Return the box of an instance, or the one around its outline: (4,) xyxy in pixels."""
    if instance.bbox is not None or not has_outline(instance):
        return instance.bbox
    return extent(instance)


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


def _rotation(annotation: Mapping[str, Any]) -> float:
    """Degrees by which the box of an annotation is turned, as CVAT and others write it."""
    attributes = annotation.get("attributes")
    for holder in (annotation, attributes if isinstance(attributes, Mapping) else {}):
        for key in _ROTATIONS:
            if isinstance(value := holder.get(key), int | float) and value % 360:
                return value
    return 0


def _check_outline(annotation: Mapping[str, Any], turned: float) -> None:
    """Check that an annotation without a box, or with one before a rotation, has an outline."""
    if annotation.get("segmentation") not in (None, [], [[]]):
        return
    place = f"annotation {annotation.get('id')}"
    if turned:
        raise DataError(
            f"{place} is rotated by {short(turned)} degrees, and its bbox is the one before the "
            "rotation; export rotated boxes as polygons ('segmentation')"
        )
    has = "keypoints but no bbox" if annotation.get("keypoints") else "no bbox"
    raise DataError(
        f"{place} has {has}; add the box of the whole object as 'bbox': [x, y, width, height], or "
        "its outline as 'segmentation'"
    )


class _Ids:
    """The ids of a list, and values that differ from one of them in type only."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]):
        self._ids = {entry["id"] for entry in entries}
        self._alike: dict[Any, set[Any]] = {}
        for number in self._ids:
            self._alike.setdefault(_plain_id(number), set()).add(number)

    def find(self, value: Any) -> Any:
        """Return the id that a value means; the value, or its text, if it means none."""
        if not isinstance(value, Hashable):
            return repr(value)
        alike = self._alike.get(_plain_id(value), set())
        return next(iter(alike)) if value not in self._ids and len(alike) == 1 else value


def _plain_id(value: Any) -> Any:
    """Return the number for the text of a whole number."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,30}\s*", value):
        return int(value)
    return value


def _entry_error(
    name: str, number: int, entry: Any, fields: Sequence[str], path: Path
) -> DataError | None:
    """Return what makes an entry of a list unusable, or None."""
    missing = [f for f in fields if not isinstance(entry, dict) or f not in entry]
    if missing:
        return DataError(f"{name}[{number}] has no {missing[0]!r}", str(path), "annotation")
    if "id" in fields and not isinstance(entry["id"], int | float | str):
        what = f"the id {short(entry['id'])}, which is neither a number nor a string"
        return DataError(f"{name}[{number}] has {what}", str(path), "annotation")
    return None


def _check_ids(name: str, entries: Sequence[Mapping[str, Any]], path: Path) -> None:
    seen = set()
    for entry in entries:
        value = entry["id"]
        if value in seen:
            raise DataError(f"two of {name!r} have the same id, {short(value)}", str(path))
        seen.add(value)


def _with_file_name(image: Any) -> Any:
    """Name the file of an image that has only ``coco_url``, as in LVIS: ``train2017/000….jpg``."""
    if isinstance(image, dict) and "file_name" not in image and "coco_url" in image:
        return {**image, "file_name": "/".join(str(image["coco_url"]).split("/")[-2:])}
    return image
