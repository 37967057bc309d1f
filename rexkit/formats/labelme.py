"""LabelMe records: one JSON file an image, read and written.

The form is that of LabelMe 5 (https://github.com/wkentaro/labelme), with the fields of
AnyLabeling and X-AnyLabeling.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.coordinates import number_array, short
from rexkit.formats.images import decode_numbers, encode_image
from rexkit.geometry import ellipse_corners
from rexkit.instances import own_box
from rexkit.run_lengths import decode_mask, encode_mask
from rexkit.structures import Annotation, Array, ImageSize, Instance

_OWN = ("label", "points", "shape_type", "group_id", "description", "mask", "score")


def is_labelme(value: Any) -> bool:
    """Return whether a parsed JSON value is a LabelMe record."""
    return isinstance(value, Mapping) and isinstance(value.get("shapes"), list)


def read_labelme(value: Any) -> dict[str, Any]:
    """Convert a LabelMe record to an annotation record.

    Args:
        value: the parsed JSON.

    Returns:
        The record. A rectangle is a box, or a polygon where it has four corners (``rotation``); a
        circle is a polygon of 64 corners. Points that share the ``group_id`` of a rectangle are its
        keypoints, unless it has the label of one of them. ``description`` is the text. Flags and
        other fields stay as they are. A mask is that of the whole image.

    Raises:
        DataError: it is no such record, or a shape is of a kind without area, such as "line".
    """
    if not is_labelme(value):
        raise DataError("a LabelMe record has a list 'shapes'")
    width, height = value.get("imageWidth"), value.get("imageHeight")
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    shapes = [_read_shape(shape, f"shapes[{n}]", size) for n, shape in enumerate(value["shapes"])]
    record: dict[str, Any] = {"instances": _with_keypoints(shapes)}
    if size is not None and all(size):
        record |= {"width": width, "height": height}
    if value.get("flags"):
        record["extra"] = {"flags": value["flags"]}
    return record


def embedded_image(value: Mapping[str, Any]) -> bytes | None:
    """Return the image that is in a record itself (``imageData``).

    Raises:
        DataError: it is no base64.
    """
    data = value.get("imageData")
    if not data:
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise DataError(f"imageData is bad base64 ({error})") from error


def to_labelme(prediction: Annotation, file_name: str) -> dict[str, Any]:
    """Return a LabelMe record, which its editor opens beside the image.

    Args:
        prediction: in pixels. Keypoints are points of their own, grouped with their box. A mask is
            a picture in base64 over its box.
        file_name: of the image (``imagePath``).
    """
    shapes = []
    for number, instance in enumerate(prediction.instances):
        parts = _shapes(instance)
        group = number if len(parts) > 1 else None
        for label, kind, points, more in parts:
            shape = {
                "label": label,
                "points": points.tolist(),
                "group_id": group,
                "description": instance.text or "",
                "shape_type": kind,
                "flags": {"ignore": True} if instance.ignore else {},
            }
            score = {} if instance.score is None else {"score": instance.score}
            extra = {k: v for k, v in instance.extra.items() if k not in shape}
            shapes.append({**extra, **shape, **more, **score})
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": file_name,
        "imageData": None,
        "imageHeight": prediction.image_size[1],
        "imageWidth": prediction.image_size[0],
    }


def _shapes(instance: Instance) -> list[tuple[str, str, Array, dict[str, Any]]]:
    """Return label, kind, points and other fields of the shapes of an instance."""
    label, box = instance.phrase, own_box(instance)
    shapes: list[tuple[str, str, Array, dict[str, Any]]] = []
    if instance.mask is not None:
        shapes.append((label, "mask", *_picture(instance.mask)))
    if instance.polygon is not None:
        shapes.append((label, "polygon", instance.polygon, {}))
    # Readers take the box around an outline for granted.
    if box is not None:
        shapes.append((label, "rectangle", box.reshape(2, 2), {}))
    if instance.point is not None:
        shapes.append((label, "point", instance.point[None], {}))
    named = (instance.keypoints or {}).items()
    return shapes + [(name, "point", xy[None], {}) for name, xy in named if xy is not None]


def _picture(mask: Mapping[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Return the first and last pixel of a mask, and the picture of what is between them."""
    pixels = decode_mask(mask)
    rows, columns = np.nonzero(pixels)
    if not rows.size:
        rows = columns = np.zeros(1, dtype=int)
    y0, y1, x0, x1 = rows.min(), rows.max(), columns.min(), columns.max()
    picture = Image.fromarray((pixels[y0 : y1 + 1, x0 : x1 + 1] * 255).astype(np.uint8))
    data = base64.b64encode(encode_image(picture)).decode()
    return np.array([[x0, y0], [x1, y1]], dtype=np.float64), {"mask": data}


def _read_shape(shape: Any, place: str, size: ImageSize | None) -> dict[str, Any]:
    if not isinstance(shape, Mapping) or not isinstance(shape.get("label"), str):
        raise DataError(f"{place} has no 'label', a string")
    points, kind = number_array(shape.get("points")), shape.get("shape_type", "polygon")
    if points is None or points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"{place}: points must be pairs of numbers, got {short(shape['points'])}")
    entry: dict[str, Any] = {
        **{key: value for key, value in shape.items() if key not in _OWN},
        "phrase": shape["label"],
        "group_id": shape.get("group_id"),
        **({"text": shape["description"]} if shape.get("description") else {}),
        **({} if shape.get("score") is None else {"score": shape["score"]}),
        **_geometry(kind, points, shape, place, size),
    }
    flags = entry.pop("flags", None) or {}
    if (isinstance(flags, Mapping) and flags.get("ignore")) or entry.get("difficult") is True:
        entry["ignore"] = True
    kept = (
        {k: v for k, v in flags.items() if k != "ignore"} if isinstance(flags, Mapping) else flags
    )
    return entry | ({"flags": kept} if kept else {})


def _geometry(
    kind: str, points: Array, shape: Mapping[str, Any], place: str, size: ImageSize | None
) -> dict[str, Any]:
    around = {"bbox_around_outline": True}
    if kind == "rectangle" and len(points) == 2:
        return {"bbox": [*points.min(0).tolist(), *points.max(0).tolist()]}
    if kind in ("rectangle", "rotation", "polygon") and len(points) >= 3:
        upright = kind == "rectangle" and len(points) == 4 and len(np.unique(points[:, 0])) == 2
        if upright and len(np.unique(points[:, 1])) == 2:  # X-AnyLabeling's boxes
            return {"bbox": [*points.min(0).tolist(), *points.max(0).tolist()]}
        return {"polygon": points.tolist()} | around
    if kind == "point" and len(points) == 1:
        return {"point": points[0].tolist()}
    if kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        corners = ellipse_corners(points[0], [radius, radius])
        if size is not None:
            corners = np.clip(corners, 0, size)
        return {"polygon": corners.tolist(), "shape_type": "circle"} | around
    if kind == "mask" and len(points) == 2:
        if size is None:
            raise DataError(f"{place} is a mask, which needs imageWidth and imageHeight")
        return {"mask": _whole_mask(shape.get("mask"), points, place, size)} | around
    raise DataError(
        f"{place} is a {short(kind)} of {len(points)} points; boxes, polygons, points, circles and "
        "masks are read"
    )


def _whole_mask(data: Any, points: Array, place: str, size: ImageSize) -> dict[str, Any]:
    try:
        picture = decode_numbers(base64.b64decode(data or "", validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise DataError(f"{place}: its mask is no picture in base64 ({error})") from error
    (x0, y0) = points[0].astype(int).tolist()
    height, width = picture.shape[:2]
    if picture.ndim != 2 or min(x0, y0) < 0 or x0 + width > size[0] or y0 + height > size[1]:
        raise DataError(f"{place}: its mask of {width}x{height} at {x0}, {y0} leaves the image")
    pixels = np.zeros(size[::-1], dtype=np.bool_)
    pixels[y0 : y0 + height, x0 : x0 + width] = picture > 0
    return encode_mask(pixels)


def _with_keypoints(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the shapes of a group: parts and geometries of one label, and points as keypoints."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    joined: list[dict[str, Any]] = []
    for entry in entries:
        group = entry.pop("group_id")
        if group is None:
            joined.append(entry)
        elif str(group) in groups:
            groups[str(group)].append(entry)
        else:
            groups[str(group)] = members = [entry]
            joined.append({"members": members})
    return [
        e for entry in joined for e in (_join(entry["members"]) if "members" in entry else [entry])
    ]


def _join(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    whole = [m for m in members if "point" not in m]
    if len({m["phrase"] for m in whole}) != 1:  # a group of objects
        return members
    first = {**whole[0]}
    outlines = [m["polygon"] for m in whole if "polygon" in m]
    if len(outlines) > 1:
        first.pop("polygon", None)
        first |= {"segmentation": [np.ravel(xy).tolist() for xy in outlines]}
    for member in whole[1:]:
        first = {**{k: v for k, v in member.items() if k != "polygon"}, **first}
    if len(outlines) == 1:
        first["polygon"] = outlines[0]
    points = [m for m in members if "point" in m]
    own = [m for m in points if m["phrase"] == first["phrase"]]
    named = {m["phrase"]: m["point"] for m in points if m["phrase"] != first["phrase"]}
    if len(own) == 1:
        first["point"] = own[0]["point"]
    return [first | ({"keypoints": named} if named else {})]
