"""The map from an image to a changed one: one matrix for its pixels and for every geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from rexkit.errors import DataError
from rexkit.run_lengths import decode_mask, encode_placed_mask, mask_box
from rexkit.structures import Array, ImageSize

Color = tuple[int, int, int]

GREY: Color = (128, 128, 128)
"""What is around an image that was turned."""

_TURNS: dict[tuple[int, ...], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_270,
    (0, 1, -1, 0): Image.Transpose.ROTATE_90,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""The linear part of a map that only turns and mirrors, and what Pillow calls it."""


@dataclass(frozen=True, eq=False)
class Warp:
    """An affine or projective map from an image to one of another size.

    Coordinates are continuous: a pixel covers the square from its number to the next.

    Attributes:
        matrix: (3, 3), from (x, y, 1) in the image to the new one, up to a factor.
        size: (width, height) of the new image.
        window: (4,) xyxy, the part of the new image that shows the old one; None shows it
            everywhere.

    >>> Warp.resize((100, 50), (200, 50)).points([10, 20]).tolist()
    [20.0, 20.0]
    """

    matrix: Array
    size: ImageSize
    window: Array | None = None

    @classmethod
    def crop(cls, x: float, y: float, size: ImageSize) -> Warp:
        """Return the map to the part of an image whose top left corner is x, y."""
        return cls(_matrix([[1, 0, -x], [0, 1, -y]]), size)

    @classmethod
    def resize(cls, old: ImageSize, new: ImageSize) -> Warp:
        """Return the map from an image to one of another size."""
        return cls(np.diag([new[0] / old[0], new[1] / old[1], 1.0]), new)

    @classmethod
    def flip(cls, size: ImageSize, across: bool, down: bool) -> Warp:
        """Return the map to the mirror image, left to right, top to bottom, or both."""
        width, height = size
        x = [-1, 0, width] if across else [1, 0, 0]
        y = [0, -1, height] if down else [0, 1, 0]
        return cls(_matrix([x, y]), size)

    @classmethod
    def quarter_turns(cls, size: ImageSize, turns: int) -> Warp:
        """Return the map to an image that is turned clockwise by a number of quarters."""
        width, height = size
        rows, turned = [
            ([[1, 0, 0], [0, 1, 0]], size),
            ([[0, -1, height], [1, 0, 0]], (height, width)),
            ([[-1, 0, width], [0, -1, height]], size),
            ([[0, 1, 0], [-1, 0, width]], (height, width)),
        ][turns % 4]
        return cls(_matrix(rows), turned)

    @classmethod
    def rotation(cls, size: ImageSize, degrees: float, expand: bool = False) -> Warp:
        """Return the map to an image that is turned around its middle.

        Args:
            size: (width, height) of the image.
            degrees: clockwise.
            expand: make the new image large enough for all of it.
        """
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[cos, -sin], [sin, cos]])
        old = new = np.array(size, dtype=np.float64)
        if expand:
            new = np.ceil(np.abs(turn) @ old - 1e-6)
        shift = new / 2 - turn @ (old / 2)
        return cls(_matrix(np.column_stack([turn, shift])), (int(new[0]), int(new[1])))

    @classmethod
    def corners(cls, size: ImageSize, corners: ArrayLike) -> Warp:
        """Return the map that moves the corners of an image, keeping its size.

        Args:
            size: (width, height) of the image.
            corners: (4, 2) where its corners come to be, clockwise from the top left: convex.
        """
        width, height = size
        old = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
        rows, values = [], []
        for (x, y), (u, v) in zip(old, np.asarray(corners, dtype=np.float64), strict=True):
            rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
            values += [u, v]
        solved = np.linalg.solve(np.array(rows), np.array(values))
        return cls(np.append(solved, 1.0).reshape(3, 3), size)

    @property
    def visible(self) -> Array:
        """(4,) xyxy, the part of the new image that shows the old one."""
        return np.array([0.0, 0.0, *self.size]) if self.window is None else self.window

    @property
    def aligned(self) -> bool:
        """Whether it maps every box to a box."""
        linear, last = self.matrix[:2, :2], self.matrix[2]
        off = linear[[0, 1], [1, 0]]
        return not last[:2].any() and not (off.any() and np.diag(linear).any())

    def inverse(self, size: ImageSize) -> Warp:
        """Return the map back to an image of a size."""
        return Warp(np.asarray(np.linalg.inv(self.matrix), dtype=np.float64), size)

    def placed(self, x: int, y: int, size: ImageSize) -> Warp:
        """Return the map to an image that shows the new one at x, y and is larger."""
        shift = _matrix([[1, 0, x], [0, 1, y]])
        return Warp(shift @ self.matrix, size, self.visible + np.array([x, y, x, y]))

    def points(self, points: ArrayLike) -> Array:
        """Return where points come to be: (…, 2) for (…, 2) pixels; NaN beyond the horizon."""
        xy = np.asarray(points, dtype=np.float64)
        moved = xy @ self.matrix[:, :2].T + self.matrix[:, 2]
        depth = moved[..., 2:]
        if self.matrix[2, :2].any():
            depth = np.where(depth * np.sign(self.matrix[2, 2]) > 1e-9, depth, np.nan)
        return np.asarray(moved[..., :2] / depth)

    def image(self, image: Image.Image, fill: Color = GREY) -> Image.Image:
        """Return the new image.

        Whole turns and mirrors move pixels as they are; a change of size is filtered against
        aliasing; all else interpolates between four pixels.

        Args:
            image: RGB.
            fill: the colour of what is outside of the image.
        """
        if not self.aligned:
            return self._interpolated(image, fill)
        linear = self.matrix[:2, :2] / self.matrix[2, 2]
        if self._whole_pixels:
            turn = _TURNS[tuple(linear.astype(int).ravel().tolist())]
            turned = image if turn is None else image.transpose(turn)
            x, y = np.round(self.points([[0, 0], image.size]).min(axis=0)).astype(int).tolist()
            return _framed(turned, x, y, self.size, fill)
        box = self.inverse(image.size).points([[0, 0], self.size]).ravel()
        whole = np.array([0.0, 0.0, *image.size])
        near = np.clip(box, whole[[0, 1, 0, 1]], whole[[2, 3, 2, 3]])
        if (np.diag(linear) > 0).all() and np.abs(near - box).max() < 1e-6:
            x0, y0, x1, y1 = near.tolist()
            return image.resize(self.size, Image.Resampling.BICUBIC, (x0, y0, x1, y1))
        return self._interpolated(image, fill)

    @property
    def _whole_pixels(self) -> bool:
        entries = self.matrix[:2] / self.matrix[2, 2]
        unit = np.isin(np.abs(entries[:, :2]), (0, 1)).all()
        return bool(unit and np.abs(entries - np.round(entries)).max() < 1e-9)

    def _interpolated(self, image: Image.Image, fill: Color) -> Image.Image:
        method, numbers = self._pillow(self.inverse(image.size).matrix)
        return image.transform(
            self.size, method, numbers, Image.Resampling.BILINEAR, fillcolor=fill
        )

    def mask(self, mask: Mapping[str, Any], image_size: ImageSize) -> dict[str, Any] | None:
        """Return a mask on the new image: each pixel is that of the nearest of the old one.

        Args:
            mask: COCO run lengths on the image.
            image_size: (width, height) of the image.

        Returns:
            COCO run lengths, or None where nothing of it is visible.

        Raises:
            DataError: the mask cannot be decoded, or is not of the image's size.
        """
        if list(mask["size"]) != [image_size[1], image_size[0]]:
            raise DataError(
                f"a mask of {mask['size']} (height, width) is not that of an image of "
                f"{image_size[1]} x {image_size[0]}; correct its size"
            )
        x0, y0, x1, y1 = mask_box(mask).astype(int).tolist()
        window = self.visible
        corners = self.points([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        if not np.isfinite(corners).all():
            return None
        low = np.clip(np.floor(corners.min(axis=0)), window[:2], window[2:]).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)), window[:2], window[2:]).astype(int)
        width, height = (high - low).tolist()
        if width <= 0 or height <= 0:
            return None
        pixels = Image.fromarray(decode_mask(mask)[y0:y1, x0:x1].astype(np.uint8))
        to_part = _matrix([[1, 0, -x0], [0, 1, -y0]])
        from_window = _matrix([[1, 0, low[0]], [0, 1, low[1]]])
        method, numbers = self._pillow(to_part @ np.linalg.inv(self.matrix) @ from_window)
        moved = pixels.transform((width, height), method, numbers, Image.Resampling.NEAREST)
        found = np.asarray(moved, dtype=np.bool_)
        if not found.any():
            return None
        return encode_placed_mask(found, (int(low[0]), int(low[1])), self.size)

    @staticmethod
    def _pillow(back: Array) -> tuple[Image.Transform, list[float]]:
        """Return what `Image.transform` takes, for the map from the new image to the old one."""
        numbers = (back / back[2, 2]).ravel().tolist()
        if back[2, :2].any():
            return Image.Transform.PERSPECTIVE, numbers[:8]
        return Image.Transform.AFFINE, numbers[:6]


def _matrix(rows: ArrayLike) -> Array:
    return np.vstack([np.asarray(rows, dtype=np.float64), [0.0, 0.0, 1.0]])


def _framed(image: Image.Image, x: int, y: int, size: ImageSize, fill: Color) -> Image.Image:
    """Return an image of a size with another one at x, y."""
    if x <= 0 and y <= 0 and x + image.width >= size[0] and y + image.height >= size[1]:
        part = (-x, -y, size[0] - x, size[1] - y)
        return image if part == (0, 0, *image.size) else image.crop(part)
    framed = Image.new("RGB", size, fill)
    framed.paste(image, (x, y))
    return framed
