"""Label Studio's results: the regions of an image and what is asked of them, read.

The form is that of https://labelstud.io/guide/task_format and of the tags of images; that regions
keep ``score``, ``meta`` and ``parentID`` is from the source of the editor,
https://github.com/HumanSignal/label-studio. `rexkit.formats.labelstudio_tasks` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.annotation_records import GEOMETRIES
from rexkit.formats.coordinates import number_array, short
from rexkit.formats.json_fields import phrases_field
from rexkit.formats.labelstudio_shapes import read_shape, shape_of
from rexkit.keypoints import known_names
from rexkit.structures import ImageSize

ABSENT, IGNORE, INVISIBLE = "absent", "ignore", "invisible"
"""Names of choices and of a field of ``meta`` that rexkit gives a meaning."""

_RESERVED = {*GEOMETRIES, "phrase", "caption", "label", "text", "score", "ignore", "rotation"}


def read_labelstudio(
    annotation: Mapping[str, Any],
    image_size: Callable[[], ImageSize],
    phrase: str | None = None,
    text_name: str | None = None,
) -> dict[str, Any]:
    """Convert an annotation or prediction of a task to an annotation record.

    Args:
        annotation: as `chosen_annotation` returns it.
        image_size: returns (width, height) in pixels, for results that do not state it.
        phrase: of regions without a label; None makes them an error, but for texts, of the phrase
            "text".
        text_name: the name of the text area that holds transcriptions, where regions have several.

    Returns:
        The record, in pixels. A rotated rectangle and an ellipse are polygons, a brush and a bit
        mask are masks. A region with several labels is an instance for each. What else is asked of
        a region, and its ``meta``, are fields of the instance; what is asked of the image, and
        relations, are fields of the annotation. Key points inside a region (``parentID``) are its
        keypoints, and an outline inside a box of the same label is that of the same object. The
        choices "ignore" of a region and "absent" of the image mean what these words say.

    Raises:
        DataError: a result cannot be used, or is of a kind that is not known.
    """
    results = annotation.get("result") if isinstance(annotation, Mapping) else None
    if not isinstance(results, list):
        raise DataError("an annotation of Label Studio has a list 'result'")
    regions: dict[str, _Region] = {}
    extra: dict[str, Any] = {}
    for number, result in enumerate(results):
        place = f"result[{number}]"
        if not isinstance(result, Mapping) or not isinstance(result.get("type"), str):
            raise DataError(f"{place} has no 'type', a string")
        if result["type"] == "relation":
            extra.setdefault("relations", []).append(dict(result))
        else:
            key = str(result.get("id") or place)
            regions.setdefault(key, _Region(key, place)).add(result, place)
    shapes = {key: region for key, region in regions.items() if region.shape}
    images = {region.image for region in shapes.values()}
    if len(images) > 1:
        raise DataError(
            f"its regions are of several images, {sorted(images)}; export a project with one image "
            "in each task"
        )
    absent: list[str] = []
    for key, region in regions.items():
        if key not in shapes:
            absent += phrases_field(region.fields, ABSENT, region.place)
            region.fields.pop(ABSENT, None)
            if region.labels:
                raise DataError(f"{region.place} has labels, and no region of an image")
            extra |= image_fields({**region.fields, **region.texts})
    record: dict[str, Any] = {"instances": _instances(shapes, image_size, phrase, text_name)}
    record["instances"] += [{"phrase": name, "bbox": None} for name in absent]
    sizes = {region.size for region in shapes.values() if region.size}
    if len(sizes) > 1:
        raise DataError(f"its regions are of images of several sizes, {sorted(sizes)}")
    for size in sizes:
        record |= dict(zip(("width", "height"), size, strict=True))
    return record | ({"extra": extra} if extra else {})


def image_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of an image; one that `Annotation.extra` takes otherwise gets an underscore."""
    other = {"categories": list, "visual_prompt": Mapping}
    return {
        f"{name}_" if name in other and not isinstance(value, other[name]) else name: value
        for name, value in fields.items()
    }


class _Region:
    """The results of one id: a shape, its labels, and what is asked of it."""

    def __init__(self, key: str, place: str):
        self.key, self.place = key, place
        self.shape: dict[str, Any] = {}
        self.image = ""
        self.size: ImageSize | None = None
        self.labels: list[str] = []
        self.texts: dict[str, str] = {}
        self.fields: dict[str, Any] = {}
        self.score: Any = None
        self.parent: str | None = None

    @property
    def is_point(self) -> bool:
        return self.shape.keys() == {"x", "y"}

    def add(self, result: Mapping[str, Any], place: str) -> None:
        kind, value = result["type"], result.get("value")
        name = str(result.get("from_name") or kind)
        if not isinstance(value, Mapping):
            raise DataError(f"{place} has no 'value', an object")
        if kind.startswith(("video", "timeseries", "vector")) or "start" in value:
            raise DataError(f"{place} is of the type {short(kind)}, which is no region of an image")
        if result.get("image_rotation"):
            raise DataError(
                f"{place} was drawn on an image that was turned in the editor (image_rotation "
                f"{short(result['image_rotation'])}), which is not read; turn it back there"
            )
        if not self.shape and (shape := shape_of(value)):
            self.shape, self.place = shape, place
            self.size = _stated_size(result, place)
            # With several images in one list, the editor counts them.
            self.image = f"{result.get('to_name')} {result.get('item_index') or ''}".rstrip()
        own = kind if kind.endswith("labels") and kind in value else "labels"
        self.labels = self.labels or phrases_field(value, own, place)
        if kind == "textarea":
            text = value.get("text", "")
            self.texts[name] = " ".join(map(str, text)) if isinstance(text, list) else str(text)
        elif kind in value and not kind.endswith("labels"):
            self.fields[name] = _single(value[kind], name)
        elif not (kind.endswith("labels") or shape_of(value)):
            raise DataError(f"{place} is of the type {short(kind)}, which is not known")
        meta = result.get("meta")
        if isinstance(meta, Mapping):
            notes = meta.get("text")
            self.fields |= {k: v for k, v in meta.items() if k != "text"}
            self.fields |= {"note": _single(notes, "note")} if notes else {}
        self.score = result["score"] if self.score is None and "score" in result else self.score
        parent = result.get("parentID")
        self.parent = parent if isinstance(parent, str) and parent else self.parent


def _instances(
    regions: Mapping[str, _Region],
    image_size: Callable[[], ImageSize],
    phrase: str | None,
    text_name: str | None,
) -> list[dict[str, Any]]:
    transcription = _transcription(regions.values(), text_name)
    entries = {}
    for key, region in regions.items():
        size = region.size or image_size()
        if "rle" in region.shape and sorted(size) != sorted(image_size()):
            raise DataError(f"{region.place} is a mask of {size}, the image is {image_size()}")
        geometry = read_shape(region.shape, size, region.place)
        region.parent = region.parent if region.parent in regions else None
        entries[key] = _entries(region, geometry, phrase, transcription)
    for key, region in regions.items():
        parent = regions.get(region.parent or "")
        if parent is None or parent.parent is not None or parent.is_point:
            continue
        same = region.labels == parent.labels
        taken = [_take_part(entry, entries[key][0], same) for entry in entries[parent.key]]
        if all(taken):
            entries[key] = []
    return [_renamed(entry) for listed in entries.values() for entry in listed]


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its keypoints under the names of a schema, where it has all of them."""
    names = known_names(entry.get("keypoints") or ())
    parts = [part for part in ("keypoints", "keypoint_fields") if part in entry]
    renamed = {part: {names[key]: value for key, value in entry[part].items()} for part in parts}
    return entry | renamed


def _entries(
    region: _Region, geometry: dict[str, Any], phrase: str | None, transcription: str | None
) -> list[dict[str, Any]]:
    texts = dict(region.texts)
    entry = geometry | {"id": region.key}
    if transcription in texts:
        entry["text"] = texts.pop(transcription)
    entry |= {} if region.score is None else {"score": region.score}
    fields = {**texts, **region.fields}
    if IGNORE in fields and fields.pop(IGNORE):
        entry["ignore"] = True
    if hidden := phrases_field(fields, INVISIBLE, region.place):
        entry["keypoints"] = dict.fromkeys(hidden)
    fields.pop(INVISIBLE, None)
    entry |= {f"{k}_" if k in _RESERVED or k in entry else k: v for k, v in fields.items()}
    entry |= {} if region.parent is None else {"parent": region.parent}
    labels = region.labels or ([] if phrase is None else [phrase])
    if not labels and "text" not in entry:
        raise DataError(f"{region.place} has no label; set phrase to what such regions are")
    return [{**entry, "phrase": label} for label in labels] or [entry]


def _take_part(entry: dict[str, Any], part: dict[str, Any], same: bool) -> bool:
    """Add a region inside another to its entry; return False where it is an object of its own."""
    kind = next((k for k in ("point", "polygon", "mask") if k in part), "bbox")
    own = ("point", "phrase", "id", "parent")
    if same and kind != "bbox" and kind not in entry:
        entry |= {kind: part[kind], **{k: v for k, v in part.items() if k not in (*own, *entry)}}
        return True
    keypoints = entry.get("keypoints") or {}
    name = part.get("phrase")
    if kind != "point" or same or name is None or keypoints.get(name) is not None:
        return False
    if fields := {k: v for k, v in part.items() if k not in own}:
        entry["keypoint_fields"] = {**entry.get("keypoint_fields", {}), name: fields}
    entry["keypoints"] = {**keypoints, name: part["point"]}
    return True


def _transcription(regions: Iterable[_Region], text_name: str | None) -> str | None:
    """Return the name of the text area that holds the transcriptions."""
    names = list(dict.fromkeys(name for region in regions for name in region.texts))
    if text_name is not None or len(names) < 2:
        return text_name or (names[0] if names else None)
    likely = [name for name in names if name.lower() in ("text", "transcription", "ocr")]
    if len(likely) != 1:
        raise DataError(
            f"regions have several text areas, {', '.join(map(repr, names))}; set text_name to the "
            "one that holds the transcriptions"
        )
    return likely[0]


def _stated_size(result: Mapping[str, Any], place: str) -> ImageSize | None:
    sides = [result.get("original_width"), result.get("original_height")]
    if None in sides:
        return None
    numbers = number_array(sides)
    if numbers is None or not ((numbers >= 1) & (numbers < 2**31)).all():
        raise DataError(f"{place}: original_width and original_height are {short(sides)}")
    width, height = numbers.astype(int).tolist()
    return width, height


def _single(value: Any, name: str) -> Any:
    """Return the only item of a list; the choices that rexkit gives a meaning stay a list."""
    if isinstance(value, list) and len(value) == 1 and name not in (ABSENT, IGNORE):
        return value[0]
    return value
