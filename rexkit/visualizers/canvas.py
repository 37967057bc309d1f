"""The shape of one instance, drawn in pixels of a canvas with smooth edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from rexkit.geometry import decode_mask
from rexkit.structures import Array, ImageSize, Instance
from rexkit.visualizers.colors import WHITE, Color
from rexkit.visualizers.skeleton import Skeleton

FILL = 0.25
"""Opacity of the inside of polygons and masks."""

DASH = 3
"""Length of a dash, in line widths."""


@dataclass
class Shape:
    """The geometry of an instance, in pixels of a canvas.

    Attributes:
        instance: the instance.
        color: the colour it is drawn in.
        bbox: (4,) or None.
        point: (1, 2), or (0, 2) if it has none.
        skeleton: its visible keypoints.
        polygon: (N, 2) or None.
        mask: greyscale, as large as the canvas, or None.
    """

    instance: Instance
    color: Color
    bbox: Array | None
    point: Array
    skeleton: Skeleton
    polygon: Array | None
    mask: Image.Image | None

    @classmethod
    def of(
        cls, instance: Instance, image_size: ImageSize, canvas: ImageSize, color: Color
    ) -> Shape:
        """Scale the geometry of an instance from its image to a canvas.

        Coordinates that are not finite, or off the canvas, are left out.
        """
        scale = np.array(canvas) / np.maximum(image_size, 1)
        # Pillow counts in 32 bits; far outside nothing is visible.
        low, high = -4.0 * np.array(canvas), 5.0 * np.array(canvas)

        def scaled(values: Array | None) -> Array | None:
            if values is None or not np.isfinite(values).all():
                return None
            xy = np.clip(np.reshape(values, (-1, 2)) * scale, low, high)
            seen = (xy.max(axis=0) >= 0).all() and (xy.min(axis=0) <= canvas).all()
            return xy if seen else None

        corners = scaled(instance.bbox)
        point = scaled(instance.point)
        keypoints = (instance.keypoints or {}).items()
        places = {name: xy[0] for name, spot in keypoints if (xy := scaled(spot)) is not None}
        mask = None
        if instance.mask is not None:
            pixels = Image.fromarray(decode_mask(instance.mask).astype(np.uint8) * 255)
            mask = pixels.resize(canvas, Image.Resampling.BILINEAR)
        return cls(
            instance,
            color,
            None if corners is None else np.append(corners.min(axis=0), corners.max(axis=0)),
            np.empty((0, 2)) if point is None else point,
            Skeleton.of(places, color, sided=not instance.ignore),
            scaled(instance.polygon),
            mask,
        )

    @property
    def extent(self) -> Array | None:
        """The box around the whole shape, (4,), or None if it is empty."""
        if self.bbox is not None:
            return self.bbox
        outline = [] if self.polygon is None else [self.polygon]
        spots = np.concatenate([self.point, self.skeleton.joints, *outline])
        if len(spots):
            return np.append(spots.min(axis=0), spots.max(axis=0))
        bounds = self.mask.getbbox() if self.mask is not None else None
        return None if bounds is None else np.array(bounds, dtype=np.float64)

    def fill(self, canvas: Image.Image) -> None:
        """Tint the inside of a polygon or mask."""
        if self.mask is not None:
            canvas.paste(self.color, None, self.mask.point(lambda v: round(v * FILL)))
        if (corners := self.polygon) is not None:
            _stamp(canvas, corners, self.color, lambda d, at, _: d.polygon(at(corners), 255), FILL)

    def outline(self, canvas: Image.Image, width: int) -> None:
        """Draw the edges and bones, and points and joints as discs with a light rim."""
        if self.polygon is not None:
            # Beyond the first corner once more, or it would have no joint.
            loop = np.append(self.polygon, self.polygon[:2], axis=0)

            def line(drawing: ImageDraw.ImageDraw, at: Place, scale: int) -> None:
                drawing.line(at(loop), 255, width * scale, "curve")

            _stamp(canvas, loop, self.color, line, margin=width)
        if self.bbox is not None:
            ImageDraw.Draw(canvas).rectangle(_pixels(self.bbox, canvas), None, self.color, width)
        for point in self.point:
            _dot(canvas, point, width, self.color)
        thin = self.skeleton.line_width(width)
        for bone, color in zip(self.skeleton.bones, self.skeleton.bone_colors, strict=True):
            _line(canvas, bone, thin, color)
        for joint, color in zip(self.skeleton.joints, self.skeleton.joint_colors, strict=True):
            _dot(canvas, joint, thin, color)

    def mark(self, canvas: Image.Image, width: int) -> None:
        """Draw white dashes along the box, as long as the gaps between them."""
        if self.bbox is None:
            return
        x0, y0, x1, y1 = _pixels(self.bbox, canvas)
        drawing = ImageDraw.Draw(canvas)
        for x in range(x0, x1 + 1, 2 * DASH * width):
            end = min(x + DASH * width - 1, x1)
            drawing.rectangle((x, y0, end, min(y0 + width - 1, y1)), WHITE)
            drawing.rectangle((x, max(y1 - width + 1, y0), end, y1), WHITE)
        for y in range(y0, y1 + 1, 2 * DASH * width):
            end = min(y + DASH * width - 1, y1)
            drawing.rectangle((x0, y, min(x0 + width - 1, x1), end), WHITE)
            drawing.rectangle((max(x1 - width + 1, x0), y, x1, end), WHITE)


Place = Callable[[Array], list[tuple[float, float]]]
Paint = Callable[[ImageDraw.ImageDraw, Place, int], object]


def _pixels(bbox: Array, canvas: Image.Image) -> tuple[int, int, int, int]:
    """Return the first and last pixels that a box covers on a canvas, in x and y."""
    size = np.array(canvas.size)
    x0, y0 = np.clip(np.round(bbox[:2]), 0, size - 1).astype(int).tolist()
    x1, y1 = np.clip(np.round(bbox[2:]) - 1, (x0, y0), size - 1).astype(int).tolist()
    return x0, y0, x1, y1


def _dot(canvas: Image.Image, center: Array, width: float, color: Color) -> None:
    for radius, paint in ((2.4 * width, WHITE), (1.8 * width, color)):
        _disc(canvas, np.array([center - radius, center + radius]), paint)


def _disc(canvas: Image.Image, corners: Array, color: Color) -> None:
    _stamp(canvas, corners, color, lambda d, at, _: d.ellipse(at(corners), 255), margin=1)


def _line(canvas: Image.Image, ends: Array, width: float, color: Color) -> None:
    def paint(drawing: ImageDraw.ImageDraw, at: Place, scale: int) -> None:
        drawing.line(at(ends), 255, max(1, round(width * scale)))

    _stamp(canvas, ends, color, paint, margin=math.ceil(width))


def _stamp(
    canvas: Image.Image,
    corners: Array,
    color: Color,
    paint: Paint,
    share: float = 1.0,
    margin: int = 0,
) -> None:
    """Paint on a canvas with smooth edges: in grey at four times the size, then reduced.

    Args:
        canvas: changed in place.
        corners: (N, 2), the bounds of what is painted.
        color: the colour.
        paint: called with a drawing, a function that converts canvas points to its coordinates, and
            its scale.
        share: opacity.
        margin: how far the paint may exceed the corners, in pixels.
    """
    size = np.array(canvas.size)
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, 0, size).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return
    scale = 4 if width * height <= 1_000_000 else 1
    grey = Image.new("L", (width * scale, height * scale))

    def at(points: Array) -> list[tuple[float, float]]:
        return [(x, y) for x, y in ((points - low) * scale).tolist()]

    paint(ImageDraw.Draw(grey), at, scale)
    stamp = grey.reduce(scale).point(lambda v: round(v * share))
    canvas.paste(color, (*low.tolist(), *high.tolist()), stamp)
