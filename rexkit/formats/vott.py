"""VoTT 2: assets with their regions, one by one or in the export of a project, read and written.

The form is that of https://github.com/microsoft/VoTT (``src/models/applicationState.ts``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.annotation_records import to_record
from rexkit.formats.coordinates import number_array, short
from rexkit.formats.json_fields import list_field, object_field, phrases_field
from rexkit.formats.json_lines import JsonStart, parse_json
from rexkit.formats.path_ends import path_ends
from rexkit.geometry import box_corners
from rexkit.instances import extent
from rexkit.structures import Annotation, Array, Instance

VERSION = "2.2.0"
NOT_VISITED, VISITED, TAGGED = range(3)
_IMAGE, _FRAME = 1, 3
_COLORS = ("#5db300", "#e81123", "#6917aa", "#015cda", "#4894fe", "#f7929e", "#e3008c", "#fbe800")
_OWN = ("type", "tags", "boundingBox", "points")

POLYLINE = "POLYLINE"
"""The kind of region that has no area; data sets leave it out and count it."""


def is_vott_asset(path: Path) -> bool:
    """Return whether a file is one asset with its regions."""
    keys = JsonStart.of(path).keys
    return keys.get("asset") == "{" and keys.get("regions") == "["


def is_vott_export(path: Path) -> bool:
    """Return whether a file is the export of a project."""
    keys = JsonStart.of(path).keys
    return keys.get("assets") == "{" and keys.get("tags") == "["


def read_vott_file(path: Path) -> list[Any]:
    """Return the assets of a file: those of an export, or the only one.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is neither; or a project file, which has no regions.
    """
    try:
        value = parse_json(path.read_bytes())
    except DataError as error:
        raise error.at(str(path)) from error
    if isinstance(value, Mapping) and "asset" in value and "regions" in value:
        return [value]
    assets = value.get("assets") if isinstance(value, Mapping) else None
    if not isinstance(assets, Mapping):
        is_old = isinstance(value, Mapping) and "frames" in value
        hint = "; this is of VoTT 1: open it in VoTT 2, and export it" * is_old
        raise DataError(f"VoTT's JSON has 'assets', or 'asset' and 'regions'{hint}", str(path))
    listed = list(assets.values())
    if listed and not any(isinstance(a, Mapping) and "regions" in a for a in listed):
        raise DataError(
            "this is a project of VoTT, whose regions are in the files *-asset.json beside it; "
            "name their folder, or export the project as VoTT JSON",
            str(path),
        )
    return listed


def asset_of(value: Any) -> Mapping[str, Any]:
    """Return the asset in a value, an image.

    Raises:
        DataError: it has none, or that is a video.
    """
    asset = value.get("asset") if isinstance(value, Mapping) else None
    if not isinstance(asset, Mapping) or not isinstance(value.get("regions"), list):
        raise DataError("it has no 'asset' and 'regions'")
    if asset.get("type", _IMAGE) not in (_IMAGE, _FRAME):
        raise DataError(f"the asset {short(asset.get('name'))} is no image; it may be a video")
    return asset


def asset_paths(asset: Mapping[str, Any]) -> list[str]:
    """Return where the image of an asset may be below a folder, the longest path first.

    >>> asset_paths({"name": "a b.jpg", "path": "file:/home/me/kitchen/a%20b.jpg"})[-2:]
    ['kitchen/a b.jpg', 'a b.jpg']
    """
    path, name = str(asset.get("path") or ""), str(asset.get("name") or "")
    plain = unquote(path.removeprefix("file:").partition("?")[0], errors="surrogateescape")
    ends = [*path_ends(plain), *path_ends(name)]
    # An exported frame of a video is called after its time: "a.mp4#t=1.5".
    frames = [f"{end}.jpg" for end in path_ends(name) if asset.get("type") == _FRAME]
    return list(dict.fromkeys(ends + frames))


def read_vott(value: Any, phrase: str | None = None) -> dict[str, Any]:
    """Convert an asset to an annotation record.

    Args:
        value: the parsed asset with its regions.
        phrase: of regions without a tag; None makes them an error.

    Returns:
        The record. A region with several tags is an instance for each, a polyline is left out.
        Fields that VoTT does not know stay as they are, and ``ignored``, ``absent`` and ``extra``
        are what `to_vott` writes.

    Raises:
        DataError: a region cannot be used.
    """
    asset = asset_of(value)
    entries: list[dict[str, Any]] = []
    for key in ("regions", "ignored"):
        for number, region in enumerate(list_field(value, key)):
            place = f"{key}[{number}]"
            if not isinstance(region, Mapping):
                raise DataError(f"{place} must be an object, got {short(region)}")
            if region.get("type") == POLYLINE:
                continue
            tags = phrases_field(region, "tags", place) or ([] if phrase is None else [phrase])
            if not tags:
                raise DataError(f"{place} has no tag; set phrase to what such regions are")
            fields = {name: v for name, v in region.items() if name not in _OWN}
            fields |= _geometry(region, place) | ({"ignore": True} if key == "ignored" else {})
            entries += [{"phrase": tag, **fields} for tag in tags]
    entries += [{"phrase": name, "bbox": None} for name in phrases_field(value, "absent")]
    record: dict[str, Any] = {"instances": entries}
    size = asset.get("size")
    if isinstance(size, Mapping) and size.get("width") and size.get("height"):
        record |= {"width": size["width"], "height": size["height"]}
    extra = object_field(value, "extra")
    return record | ({"extra": extra} if extra else {})


def to_vott(annotation: Annotation, file_name: str) -> dict[str, Any]:
    """Return an asset with its regions.

    Args:
        annotation: in pixels. A region is a rectangle, a polygon, or a point; where an instance has
            none of them, the box around it. Other geometries, texts and fields are there too, for
            readers that know them; ignored instances are in a list of their own, since others would
            train on them.
        file_name: of the image, relative to the folder of the file.
    """
    path = f"file:{quote(file_name, errors='surrogateescape')}"
    width, height = annotation.image_size
    regions: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for number, instance in enumerate(annotation.instances):
        region = _region(instance, number)
        if region is not None:
            regions[instance.ignore].append(region)
    asset = {
        "format": file_name.rpartition(".")[2],
        "id": hashlib.md5(path.encode(), usedforsecurity=False).hexdigest(),
        "name": file_name.rpartition("/")[2],
        "path": path,
        "size": {"width": width, "height": height},
        "state": TAGGED if annotation.instances else VISITED,
        "type": _IMAGE,
    }
    value = {"asset": asset, "regions": regions[False], "version": VERSION}
    more = {"ignored": regions[True], "absent": [*annotation.absent], "extra": annotation.extra}
    return value | {name: item for name, item in more.items() if item}


def vott_tags(phrases: Iterable[str]) -> list[dict[str, str]]:
    """Return the tags of a project.

    >>> vott_tags(["cup"])
    [{'name': 'cup', 'color': '#5db300'}]
    """
    return [
        {"name": phrase, "color": _COLORS[number % len(_COLORS)]}
        for number, phrase in enumerate(phrases)
    ]


def _region(instance: Instance, number: int) -> dict[str, Any] | None:
    """Return the region of an instance; None for one without a place."""
    box = extent(instance)
    if np.isnan(box).any():
        return None
    kind, points, kept = "RECTANGLE", box_corners(box), {"bbox"}
    if instance.polygon is not None:
        kind, points, kept = "POLYGON", instance.polygon, {"bbox", "polygon"}
    elif instance.bbox is None and (box[2:] <= box[:2]).all() and instance.point is not None:
        kind, points, kept = "POINT", instance.point[None], {"point"}
    [entry] = next(iter(to_record(Annotation((1, 1), [instance])).values()))
    left, top, right, bottom = box.tolist()
    return {
        "id": f"region{number}",
        "type": kind,
        "tags": [instance.phrase],
        "boundingBox": {"height": bottom - top, "width": right - left, "left": left, "top": top},
        "points": [{"x": x, "y": y} for x, y in points.tolist()],
        **{
            f"{name}_" if name in _OWN else name: value
            for name, value in entry.items()
            if name not in {"phrase", "ignore", *kept}
        },
    }


def _geometry(region: Mapping[str, Any], place: str) -> dict[str, Any]:
    kind, box = region.get("type"), region.get("boundingBox")
    points = _points(list_field(region, "points", place), place)
    if isinstance(box, Mapping):
        sides = number_array([box.get(name) for name in ("left", "top", "width", "height")])
        if sides is None:
            raise DataError(f"{place}: boundingBox must be four numbers, got {short(dict(box))}")
        bbox = [*sides[:2].tolist(), *(sides[:2] + sides[2:]).tolist()]
    elif len(points):
        bbox = [*points.min(0).tolist(), *points.max(0).tolist()]
    else:
        raise DataError(f"{place} has neither boundingBox nor points")
    if kind in ("RECTANGLE", "SQUARE"):
        return {"bbox": bbox}
    if kind == "POLYGON":
        return {"polygon": points.tolist(), "bbox": bbox}
    if kind == "POINT" and len(points) == 1:
        return {"point": points[0].tolist()}
    raise DataError(f"{place} is a {short(kind)} of {len(points)} points, which is not known")


def _points(value: list[Any], place: str) -> Array:
    pairs = [[p.get("x"), p.get("y")] if isinstance(p, Mapping) else p for p in value]
    found = number_array(pairs) if pairs else np.empty((0, 2))
    if found is None or found.ndim != 2 or found.shape[1] != 2:
        raise DataError(f'{place}: points must be {{"x": …, "y": …}}, got {short(value)}')
    return found
