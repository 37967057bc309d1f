"""Annotations that follow their image through a map: every geometry, and what is known absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rexkit.datasets.transforms.clipping import clip_boxes, clip_polygon, inside
from rexkit.datasets.transforms.combined_phrases import ignored
from rexkit.datasets.transforms.warp import GREY, Color, Warp
from rexkit.geometry import box_corners, polygon_area, polygon_bounds
from rexkit.run_lengths import decode_mask, mask_area, mask_box
from rexkit.structures import Annotation, Array, ImageSize, Instance, Sample

BoxOutline = Literal["corners", "ellipse"]
"""What of a box is turned, where it is no box afterwards: its corners, or the ellipse in it."""

STALE = ("bbox", "bbox_xyxy", "keypoints", "num_keypoints", "points", "polygon", "segmentation")
"""Fields of a dataset in `Instance.extra` that are coordinates of the old image."""

SAME = 2.0
"""In pixels: a box that is no further from the bounds of its outline is the box around it."""


def warp_sample(
    sample: Sample,
    warp: Warp,
    min_visible: float = 0.0,
    boxes: BoxOutline = "corners",
    fill: Color = GREY,
) -> Sample:
    """Return a sample whose image and annotation went through a map.

    Args:
        sample: is not changed.
        warp: from its image to the new one.
        min_visible: as in `warp_annotation`.
        boxes: as in `warp_annotation`.
        fill: the colour of what is outside of the image.
    """
    annotation = warp_annotation(sample.annotation, warp, min_visible, boxes)
    image = warp.image(sample.image, fill)
    return replace(sample, image=image, annotation=annotation, image_path=None)


def warp_annotation(
    annotation: Annotation,
    warp: Warp,
    min_visible: float = 0.0,
    boxes: BoxOutline = "corners",
) -> Annotation:
    """Return what is annotated of an image after a map.

    All geometries are cut to the new image. Keypoints outside are not visible. An instance that is
    outside altogether is left out. One of which less than ``min_visible`` is left is ignored: it is
    neither asked for, nor may its phrase be a negative.

    Args:
        annotation: is not changed.
        warp: from its image to the new one.
        min_visible: the least share of an instance's area, that of its box, or else of its mask or
            polygon, in [0, 1].
        boxes: a box that is turned by an angle becomes the box around its corners, or around the
            ellipse in it, which is tighter for round objects. One that is the box around its
            polygon or mask stays that.
    """
    size, found = annotation.image_size, list(annotation.instances)
    moved = _Moved.of(found, warp, boxes)
    instances: list[Instance] = []
    unknown: set[str] = set()
    whole = _shows_all(warp, size)
    for number, instance in enumerate(found):
        left, share = _left(instance, number, moved, warp, size)
        if left is None:
            if whole and not _located(instance):
                instances.append(instance)
            elif instance.bbox is None and instance.mask is None and instance.polygon is None:
                unknown.add(instance.phrase)  # a point outside: its object may reach into the image
        elif share < min_visible:
            instances.append(ignored(left))
        else:
            instances.append(left)
    unknown -= {i.phrase for i in instances}
    extra = _row_extra(annotation.extra, warp, boxes, unknown)
    absent = [phrase for phrase in annotation.absent if phrase not in unknown]
    return Annotation(warp.size, instances, absent, extra=extra)


@dataclass
class _Moved:
    """The geometries of some instances after a map, before they are cut; all mapped at once."""

    boxes: dict[int, tuple[Array, float, float]]
    polygons: dict[int, Array]
    points: dict[int, Array]
    keypoints: dict[int, Array]

    @classmethod
    def of(cls, instances: Sequence[Instance], warp: Warp, boxes: BoxOutline) -> _Moved:
        parts: dict[tuple[str, int], Array] = {}
        for number, instance in enumerate(instances):
            if instance.polygon is not None:
                parts["polygon", number] = instance.polygon
            if instance.point is not None:
                parts["point", number] = instance.point[None]
            if instance.keypoints:
                parts["keypoints", number] = np.array(
                    [np.full(2, np.nan) if xy is None else xy for xy in instance.keypoints.values()]
                )
        lengths = [len(part) for part in parts.values()]
        points = warp.points(np.concatenate([np.empty((0, 2)), *parts.values()]))
        split = (
            dict(zip(parts, np.split(points, np.cumsum(lengths)[:-1]), strict=True))
            if parts
            else {}
        )
        boxed = [number for number, i in enumerate(instances) if i.bbox is not None]
        rows = [box for i in instances if (box := i.bbox) is not None]
        cut, share, growth = move_boxes(
            np.array(rows, dtype=np.float64).reshape(-1, 4), warp, boxes
        )
        return cls(
            dict(zip(boxed, zip(cut, share.tolist(), growth.tolist(), strict=True), strict=True)),
            *(
                {n: xy for (kind, n), xy in split.items() if kind == name}
                for name in ("polygon", "point", "keypoints")
            ),
        )


def move_boxes(boxes: Array, warp: Warp, outline: BoxOutline) -> tuple[Array, Array, Array]:
    """Return boxes after a map, cut to the new image.

    Args:
        boxes: (N, 4) xyxy.
        warp: the map.
        outline: as ``boxes`` of `warp_annotation`.

    Returns:
        (N, 4) the boxes, (N,) the visible share of each, and (N,) by how much its area grew before
        it was cut.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    aligned = warp.aligned
    if aligned or outline == "corners":
        unit = np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]])
    else:
        angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        unit = 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    old = low + unit * (high - low)
    new = warp.points(old)
    gone = ~np.isfinite(new).all(axis=(1, 2))
    new[gone] = -1e9
    cut, share = clip_boxes(new, warp.visible, aligned)
    areas = [np.maximum(_areas(outlines), 1e-12) for outlines in (old, new)]
    return cut, share, areas[1] / areas[0]


def _left(
    instance: Instance, number: int, moved: _Moved, warp: Warp, size: ImageSize
) -> tuple[Instance | None, float]:
    """Return what is visible of an instance, None for nothing, and the share of it."""
    window = warp.visible
    box, share, growth = moved.boxes.get(number, (None, None, 1.0))
    mask = None if instance.mask is None else warp.mask(instance.mask, size)
    polygon, polygon_share, polygon_growth = _polygon(
        instance.polygon, moved.polygons.get(number), window
    )
    if share is None and instance.mask is not None:
        share = 0.0 if mask is None else _mask_share(instance.mask, warp)
    if share is None and instance.polygon is not None:
        share, growth = polygon_share, polygon_growth
    points = moved.points.get(number)
    point = points[0] if points is not None and inside(points, window)[0] else None
    keypoints = instance.keypoints
    if keypoints:
        rows = moved.keypoints[number]
        seen = inside(rows, window)
        keypoints = {
            name: np.clip(xy, window[:2], window[2:]) if ok else None
            for name, xy, ok in zip(keypoints, rows, seen, strict=True)
        }
    if share is None:
        share = float(point is not None or any(xy is not None for xy in (keypoints or {}).values()))
    if share == 0:
        return None, 0.0
    if not warp.aligned and box is not None:
        box = _around_outline(instance, box, polygon, mask)
    left = replace(
        instance,
        bbox=box,
        polygon=polygon,
        mask=mask,
        keypoints=keypoints,
        point=None if point is None else np.clip(point, window[:2], window[2:]),
        extra=changed_extra(instance, mask, share * growth),
    )
    return left, share


def _polygon(
    old: Array | None, new: Array | None, window: Array
) -> tuple[Array | None, float, float]:
    """Return a polygon cut to a window, the share of it, and by how much it grew."""
    if old is None or new is None or not np.isfinite(new).all():
        return None, 0.0, 1.0
    cut, area = clip_polygon(new, window), polygon_area(new)
    share = 0.0 if cut is None else 1.0 if area == 0 else polygon_area(cut) / area
    return cut, min(share, 1.0), area / max(polygon_area(old), 1e-12)


def _mask_share(mask: Mapping[str, Any], warp: Warp) -> float:
    """Return the share of a mask's pixels that are visible after a map."""
    if inside(warp.points(box_corners(mask_box(mask))), warp.visible).all():
        return 1.0
    row, column = np.nonzero(decode_mask(mask))
    middles = np.stack([column, row], axis=1) + 0.5
    return float(inside(warp.points(middles), warp.visible).mean())


def _around_outline(
    instance: Instance, box: Array, polygon: Array | None, mask: Mapping[str, Any] | None
) -> Array:
    """Return the box around the outline of an instance, where its box was that before the map."""
    if instance.polygon is not None and polygon is not None:
        was, now = polygon_bounds(instance.polygon), polygon_bounds(polygon)
    elif instance.mask is not None and mask is not None:
        was, now = mask_box(instance.mask), mask_box(mask)
    else:
        return box
    around = instance.bbox is not None and np.abs(was - instance.bbox).max() <= SAME
    return now if around else box


def changed_extra(instance: Instance, mask: Any, factor: float) -> dict[str, Any]:
    """Return the other fields of an instance: its area follows, coordinates are left out."""
    extra = {key: value for key, value in instance.extra.items() if key not in STALE}
    area = extra.get("area")
    if isinstance(area, (int, float)) and not isinstance(area, bool):
        if mask is not None and instance.mask is not None:
            factor = mask_area(mask) / max(mask_area(instance.mask), 1)
        extra["area"] = area * factor
    return extra


def _row_extra(
    extra: Mapping[str, Any], warp: Warp, boxes: BoxOutline, unknown: set[str]
) -> dict[str, Any]:
    """Return the other fields of a row: the public ground truth, which has coordinates, is out."""
    kept = {key: value for key, value in extra.items() if key not in ("gt", "gt_mask")}
    if "categories" in kept:
        kept["categories"] = [phrase for phrase in kept["categories"] if phrase not in unknown]
    if isinstance(kept.get("visual_prompt"), Mapping):
        prompts = {}
        for phrase, shown in kept["visual_prompt"].items():
            cut, share, _ = move_boxes(np.reshape(shown, (-1, 4)).astype(float), warp, boxes)
            prompts[phrase] = [box.tolist() for box in cut[share > 0]]
        kept["visual_prompt"] = {phrase: shown for phrase, shown in prompts.items() if shown}
    return kept


def _located(instance: Instance) -> bool:
    """Tell whether anything says where an instance is."""
    seen = any(xy is not None for xy in (instance.keypoints or {}).values())
    geometries = (instance.bbox, instance.mask, instance.polygon, instance.point)
    return seen or any(geometry is not None for geometry in geometries)


def _shows_all(warp: Warp, size: ImageSize) -> bool:
    """Tell whether the new image shows all of the old one."""
    return bool(inside(warp.points(box_corners([0, 0, *size])), warp.visible).all())


def _areas(outlines: Array) -> Array:
    """Return the area of each of (N, K, 2) polygons, by the formula of Gauss: (N,)."""
    x, y = outlines[..., 0], outlines[..., 1]
    return np.asarray(np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1)) / 2)
