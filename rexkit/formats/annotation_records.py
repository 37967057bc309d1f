"""Annotation records: the JSON object of a TSV or JSONL row, to an `Annotation` and back.

A record has one or more lists of entries under ``boxes``, ``points``, ``polygons``, ``masks`` or
``instances``. Each entry is an instance, with the geometries that its own keys say; the name of its
list means nothing more, except that ``points`` beside ``boxes`` are the points of the same objects
(`rexkit.formats.paired_lists`).

- ``phrase``, ``caption`` or ``label``: the phrase; else the ``label`` of the record, else "text"
  where the entry has one
- ``bbox``: x0 y0 x1 y1 in pixels, or what ``box_format`` and ``coordinates`` say
- ``bbox_xyxy``: x0 y0 x1 y1 whatever ``box_format`` is, read where there is no ``bbox``
- ``bbox_around_outline``: true where the box is the one around the outline
- ``point``: x y
- ``polygon``: x y x y …, or pairs; three points or more
- ``mask``: COCO run lengths, ``{"size": [height, width], "counts": …}``
- ``segmentation``: run lengths, or COCO's list of polygons (one is a polygon, several a mask);
  a polygon by itself, x y x y … or pairs, is read too
- ``keypoints``: ``{name: [x, y] or null}``
- ``hidden_keypoints``: the names of those that have a place and cannot be seen there; they stay in
  ``Instance.extra`` (`rexkit.instances.keypoint_visibility`)
- ``rotation``: degrees; other than 0 it is an error beside ``bbox``, which knows no rotation
- ``text``: a transcription; ``ignore``: neither trained on nor scored; ``score``: a confidence

All other keys go into ``Instance.extra``. Where every geometry of an entry is ``null``, its phrase
is known not to be in the image (unless another entry of the record has the phrase).
``width`` and ``height`` of the record, where stated, must be the image's, and ``extra`` is an
object with other fields of it, those of ``Annotation.extra``.

Coordinates refer to the upright image, with its EXIF orientation applied. They may be up to one
pixel outside, since labelling tools round, and are then moved to the edge. Boxes that leave the
image further are clamped to it and reported, or are an error. An outline (polygon, mask or
segmentation) that cannot be used is left out and reported where its entry has another geometry: a
box is not lost for an outline that nobody asks for. Otherwise it is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rexkit.errors import DataError, near_misses
from rexkit.formats.coordinates import (
    BoxFormat,
    Coordinates,
    coordinate_scale,
    number_array,
    read_boxes,
    read_points,
    read_polygon,
    short,
    to_corners,
)
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.masks import read_mask, union_of_polygons
from rexkit.formats.paired_lists import ListedInstance, pair_points
from rexkit.geometry import polygon_bounds
from rexkit.instances import HIDDEN_KEYPOINTS, extent, has_outline
from rexkit.phrases import clean_phrase, clean_text, has_surrogate
from rexkit.structures import Annotation, Array, ImageSize, Instance

LISTS = ("boxes", "points", "polygons", "masks", "instances")
GEOMETRIES = ("bbox", "bbox_xyxy", "point", "polygon", "mask", "segmentation", "keypoints")


def read_record(
    record: Any,
    image_size: ImageSize,
    box_format: BoxFormat = "xyxy",
    clamped: list[str] | None = None,
    left_out: list[str] | None = None,
    coordinates: Coordinates = "pixels",
) -> Annotation:
    """Return the annotation in a record, with every check.

    Args:
        record: a parsed JSON object, as described above.
        image_size: (width, height) of its image.
        box_format: what ``bbox`` means.
        clamped: as in `rexkit.formats.coordinates.read_boxes`: a list to which each box that was
            clamped to the image is added; without it such a box is an error.
        left_out: a list to which a sentence is added for each outline that cannot be used and is
            left out; without it such an outline is an error.
        coordinates: what the coordinates of boxes, points, polygons and keypoints are.

    Raises:
        DataError: anything that cannot be used. The caller adds its ``source``.

    >>> cup, dog = {"bbox": [5, 5, 9, 9], "phrase": "cup"}, {"bbox": None, "phrase": "dog"}
    >>> annotation = read_record({"boxes": [cup, dog]}, (640, 480))
    >>> annotation.boxes("cup").tolist(), annotation.absent
    ([[5.0, 5.0, 9.0, 9.0]], ['dog'])
    """
    if not isinstance(record, Mapping):
        raise DataError(f"the annotation must be a JSON object, got {short(record)}")
    _check_size(record, image_size)
    scale = coordinate_scale(coordinates, image_size)
    found, absent = [], []
    for list_name, location, entry in _entries(record):
        phrase = _take_phrase(entry, record.get("label"), location)
        _check_rotation(entry, location)
        if _drop_nulls(entry, location):
            absent.append(phrase)
        else:
            found.append((list_name, f"{location} {phrase!r}", phrase, entry))
    locations = [location for _, location, _, _ in found]

    def take_all(name: str) -> list[Any]:
        return [entry.pop(name, None) for _, _, _, entry in found]

    boxes = read_boxes(take_all("bbox"), locations, image_size, box_format, clamped, scale)
    boxes_xyxy = read_boxes(take_all("bbox_xyxy"), locations, image_size, "xyxy", clamped, scale)
    points = read_points(take_all("point"), locations, image_size, scale)
    listed = []
    for i, (list_name, location, phrase, entry) in enumerate(found):
        box = boxes_xyxy[i] if boxes[i] is None else boxes[i]
        keypoints = _take_keypoints(entry, location, image_size, scale)
        alone = box is None and points[i] is None and keypoints is None
        around = entry.pop("bbox_around_outline", None) is True
        needed = alone or (around and box is None)
        polygon, mask, parts = _take_outline(
            entry, location, image_size, scale, None if needed else left_out
        )
        instance = Instance(
            phrase,
            bbox=box,
            point=points[i],
            polygon=polygon,
            keypoints=keypoints,
            mask=mask,
            text=_take_text(entry, location),
            score=_take_score(entry, location),
            ignore=bool(_take(entry, location, "ignore", bool, int)),
            extra=entry,
        )
        if around and box is None and has_outline(instance):
            instance.bbox = polygon_bounds(np.concatenate(parts)) if parts else extent(instance)
        listed.append(ListedInstance(list_name, location, instance))
    instances = pair_points(listed)
    present = {instance.phrase for instance in instances}
    absent = [phrase for phrase in dict.fromkeys(absent) if phrase not in present]
    return Annotation(image_size, instances, absent, extra=_read_extra(record.get("extra")))


def instance_phrases(record: Any) -> list[str]:
    """Return the phrase of every instance of a record, without its coordinates being checked.

    Ignored instances are left out. ``points`` beside ``boxes`` are taken for the points of the same
    objects.

    Raises:
        DataError: the record is no object, has no list of entries, or an entry has no phrase.

    >>> instance_phrases({"boxes": [{"bbox": [5, 5, 9, 9], "phrase": "cup"}]})
    ['cup']
    """
    if not isinstance(record, Mapping):
        raise DataError(f"the annotation must be a JSON object, got {short(record)}")
    phrases = []
    for list_name, location, entry in _entries(record):
        phrase = _take_phrase(entry, record.get("label"), location)
        second = list_name == "points" and bool(record.get("boxes"))
        if not (second or entry.get("ignore") or _drop_nulls(entry, location)):
            phrases.append(phrase)
    return phrases


def with_corners(record: Mapping[str, Any], box_format: BoxFormat) -> dict[str, Any]:
    """Return a record that was read with a ``box_format``, its ``bbox`` as x0 y0 x1 y1.

    >>> with_corners({"boxes": [{"bbox": [5, 5, 4, 2], "phrase": "cup"}]}, "xywh")
    {'boxes': [{'bbox': [5, 5, 9, 7], 'phrase': 'cup'}]}
    """

    def entry(fields: Any) -> Any:
        if not isinstance(fields, Mapping) or fields.get("bbox") is None:
            return fields
        corners = to_corners(np.asarray([fields["bbox"]]), box_format)
        return {**fields, "bbox": corners[0].tolist()}

    lists = {name: [*map(entry, record[name])] for name in LISTS if record.get(name)}
    return {**record, **lists}


def to_record(annotation: Annotation) -> dict[str, Any]:
    """Return the record of an annotation, which `read_record` reads back to the same.

    Its list is the one that readers of the public format look for: ``boxes`` where every instance
    has a box, ``points`` where every one has a point, else ``instances``. Only ``Instance.name`` is
    left out: it numbers the instances of a prediction and is no data.

    >>> cup, dog = {"phrase": "cup", "point": [1, 2.5]}, {"phrase": "dog", "point": None}
    >>> to_record(read_record({"points": [cup, dog]}, (9, 9))) == {"points": [cup, dog]}
    True
    """
    instances = annotation.instances
    if all(i.bbox is not None for i in instances):
        name, geometry = "boxes", "bbox"
    elif all(i.point is not None for i in instances):
        name, geometry = "points", "point"
    else:
        name, geometry = "instances", "bbox"
    entries = [_entry(instance) for instance in instances]
    entries += [{"phrase": phrase, geometry: None} for phrase in annotation.absent]
    return {name: entries, **({"extra": annotation.extra} if annotation.extra else {})}


def _check_size(record: Mapping[str, Any], image_size: ImageSize) -> None:
    stated = (record.get("width"), record.get("height"))
    if None not in stated and stated != image_size:
        on_its_side = stated == image_size[::-1]
        raise DataError(
            f"the annotation is for an image of {short(stated[0])}x{short(stated[1])}, this one "
            f"has {image_size[0]}x{image_size[1]} (upright, by its EXIF orientation)"
            + ("; orientation='stored' reads coordinates of the pixels as stored" * on_its_side)
        )


def _read_extra(extra: Any) -> dict[str, Any]:
    if not isinstance(extra, Mapping | None):
        raise DataError(f"extra must be a JSON object, got {short(extra)}")
    found = dict(extra or {})
    listed = found.get("categories", [])
    if not isinstance(listed, list) or not all(isinstance(phrase, str) for phrase in listed):
        raise DataError(f"extra.categories must be a list of phrases, got {short(listed)}")
    if prompt := found.get("visual_prompt"):
        if not isinstance(prompt, Mapping) or not all(map(_is_boxes, prompt.values())):
            what = f"must be an object, boxes by phrase; got {short(prompt)}"
            raise DataError(f"visual_prompt {what}")
        found["visual_prompt"] = {
            p: [] if boxes == "None" else boxes for p, boxes in prompt.items()
        }
    return found


def _is_boxes(value: Any) -> bool:
    if value in (None, "None", []):
        return True
    table = number_array(value)
    return table is not None and table.shape[-1:] == (4,) and bool(np.isfinite(table).all())


def _entries(record: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the list of every entry, its location for messages, and a copy of it."""
    known = [name for name in LISTS if name in record]
    if not known:
        near = next((n for key in record for n in near_misses(str(key), LISTS)), None)
        hint = f"did you mean {near!r}?" if near else foreign_format(record)
        hint = f"; {hint}" if hint else ""
        raise DataError(f"the annotation holds none of {LISTS}, only {list(record)}{hint}")
    for name in known:
        if not isinstance(record[name], list):
            raise DataError(f"{name} must be a list, got {short(record[name])}")
        for number, entry in enumerate(record[name]):
            location = f"{name}[{number}]"
            if not isinstance(entry, Mapping):
                raise DataError(f"{location} must be a JSON object, got {short(entry)}")
            if "id" in entry:
                location += f" (id {short(entry['id'])})"
            yield name, location, dict(entry)


def _take_phrase(entry: dict[str, Any], label: Any, location: str) -> str:
    named = [key for key in ("phrase", "caption", "label") if entry.get(key) is not None]
    category = "text" if entry.get("text") is not None else None
    phrase = entry.pop(named[0]) if named else label or category
    if not isinstance(phrase, str):
        raise DataError(f"{location} must have a phrase, a string; got {short(phrase)}")
    try:
        return clean_phrase(phrase)
    except DataError as error:
        raise DataError(f"{location}: {error.reason}") from error


def _check_rotation(entry: Mapping[str, Any], location: str) -> None:
    turned = entry.get("rotation")
    if isinstance(turned, int | float) and turned % 360 and entry.get("bbox") is not None:
        raise DataError(
            f"{location} is rotated by {short(turned)} degrees, and bbox is the box before it was "
            "rotated; write the corners as a 'polygon' instead"
        )


def _drop_nulls(entry: dict[str, Any], location: str) -> bool:
    """Take geometries that are null out of an entry; return whether there are no others."""
    if entry.get("segmentation") in ([], [[]]):  # COCO's ways to have none
        del entry["segmentation"]
    named = [key for key in GEOMETRIES if key in entry]
    if isinstance(entry.get("keypoints"), list):  # COCO's numbers have no names here
        named.remove("keypoints")
    if not named:
        raise DataError(
            f"{location} holds none of {GEOMETRIES}, only {list(entry)}; "
            "a phrase that is not in the image has a null geometry"
        )
    for key in named:
        if entry[key] is None:
            del entry[key]
    return not any(key in entry for key in named)


def _take_outline(
    entry: dict[str, Any],
    location: str,
    image_size: ImageSize,
    scale: tuple[float, float],
    left_out: list[str] | None,
) -> tuple[Array | None, dict[str, Any] | None, list[Array]]:
    """Polygon, mask and parts; what cannot be used is added to ``left_out``, or raised."""
    polygon, mask = entry.pop("polygon", None), entry.pop("mask", None)
    segmentation = entry.get("segmentation")
    try:
        if polygon is not None:
            polygon = read_polygon(polygon, location, image_size, scale)
        if mask is not None:
            mask = read_mask(mask, location, image_size)
        parts, lengths = _read_segmentation(segmentation, location, image_size, scale)
    except DataError as error:
        if left_out is None:
            raise
        entry.pop("segmentation", None)
        left_out.append(error.reason)
        return None, None, []
    if len(parts) == 1 and polygon is None:
        polygon = parts[0]
        del entry["segmentation"]
    elif len(parts) > 1 and mask is None:
        mask = union_of_polygons(parts, image_size)
        del entry["segmentation"]
    elif lengths is not None and mask is None:
        mask = lengths
        del entry["segmentation"]
    return polygon, mask, parts


def _read_segmentation(
    segmentation: Any, location: str, image_size: ImageSize, scale: tuple[float, float]
) -> tuple[list[Array], dict[str, Any] | None]:
    """Return the parts of a segmentation, or its run lengths."""
    if segmentation is None:
        return [], None
    if not isinstance(segmentation, list):
        return [], read_mask(segmentation, location, image_size)
    # One polygon by itself: numbers, or pairs of numbers. Two numbers are no part.
    alone = all(not isinstance(part, list) or len(part) == 2 for part in segmentation)
    parts = [segmentation] if alone else segmentation
    with_area = [part for part in parts if not isinstance(part, list) or len(part) > 4]
    parts = with_area or parts  # COCO has parts of two points, which cover nothing
    return [read_polygon(part, location, image_size, scale) for part in parts], None


def _take_keypoints(
    entry: dict[str, Any], location: str, image_size: ImageSize, scale: tuple[float, float]
) -> dict[str, Array | None] | None:
    """Named keypoints; COCO's flat list of numbers stays where it is."""
    if not isinstance(entry.get("keypoints"), Mapping):
        return None
    locations = [f"{location} keypoint {name!r}" for name in entry["keypoints"]]
    try:
        named = {clean_phrase(name): xy for name, xy in entry.pop("keypoints").items()}
    except DataError as error:
        raise DataError(f"{location}: keypoints: {error.reason}") from error
    if len(named) != len(locations):
        raise DataError(f"{location}: two keypoints have the same name but for its spelling")
    if HIDDEN_KEYPOINTS in entry:
        entry[HIDDEN_KEYPOINTS] = _hidden_names(entry[HIDDEN_KEYPOINTS], location)
    points = read_points(list(named.values()), locations, image_size, scale)
    return dict(zip(named, points, strict=True))


def _hidden_names(value: Any, location: str) -> list[str]:
    """Names of hidden keypoints, spelled as those of keypoints are."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        what = f"must be a list of names, got {short(value)}"
        raise DataError(f"{location}: {HIDDEN_KEYPOINTS} {what}")
    return [clean_text(name) for name in value]


def _take_text(entry: dict[str, Any], location: str) -> str | None:
    text = _take(entry, location, "text", str)
    if text is not None and has_surrogate(text):
        raise DataError(
            f"{location}: text {short(text)} contains half of a surrogate pair, which is no "
            "character; correct its encoding"
        )
    return None if text is None else clean_text(text)


def _take_score(entry: dict[str, Any], location: str) -> float | None:
    score: float | None = _take(entry, location, "score", float, int)
    if score is not None and not 0 <= score <= 1:
        raise DataError(f"{location}: score must be a number in [0, 1], got {short(score)}")
    return score


def _take(entry: dict[str, Any], location: str, name: str, *kinds: type) -> Any:
    value = entry.pop(name, None)
    if value is not None and not isinstance(value, kinds):
        raise DataError(f"{location}: {name} must be {kinds[0].__name__}, got {short(value)}")
    return value


def _entry(instance: Instance) -> dict[str, Any]:
    geometries = {
        "bbox": _plain(instance.bbox),
        "point": _plain(instance.point),
        "polygon": _plain(instance.polygon),
        "mask": instance.mask,
        "text": instance.text,
        "score": instance.score,
        "ignore": instance.ignore or None,
    }
    if instance.keypoints is not None:
        geometries["keypoints"] = {name: _plain(xy) for name, xy in instance.keypoints.items()}
    known = {name: value for name, value in geometries.items() if value is not None}
    return {"phrase": instance.phrase, **known, **instance.extra}


def _plain(xy: Array | None) -> list[int | float] | None:
    """Return a flat list, whole numbers without a decimal point."""
    if xy is None:
        return None
    return [int(x) if x.is_integer() else x for x in xy.ravel().tolist()]
