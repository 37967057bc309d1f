"""Geometries cut to a part of an image, and the share of each that is visible there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rexkit.geometry import polygon_area
from rexkit.structures import Array

TOLERANCE = 1e-6
"""In pixels: less than this outside is a rounding error, and inside."""


def clip_boxes(outlines: Array, window: Array, aligned: bool) -> tuple[Array, Array]:
    """Cut boxes, given by the outline that each has after a map, to a window.

    Args:
        outlines: (N, K, 2) pixels, convex.
        window: (4,) xyxy.
        aligned: whether each outline is the four corners of a box.

    Returns:
        (N, 4) the box around what is visible of each, and (N,) the visible share of its area: 0
        where nothing is visible. A box without area is visible where it touches the window.
    """
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    inside_low = np.clip(low, window[:2], window[2:])
    inside_high = np.clip(high, window[:2], window[2:])
    boxes = np.concatenate([inside_low, inside_high], axis=1)
    whole = (high - low).prod(axis=1)
    touches = ((low <= window[2:] + TOLERANCE) & (high >= window[:2] - TOLERANCE)).all(axis=1)
    share = np.where(touches, 1.0, 0.0)
    cut = ((low < window[:2] - TOLERANCE) | (high > window[2:] + TOLERANCE)).any(axis=1)
    if aligned:
        part = cut & touches & (whole > 0)
        share[part] = (inside_high - inside_low)[part].prod(axis=1) / whole[part]
        return boxes, share
    for row in np.flatnonzero(cut & touches).tolist():
        area = polygon_area(outlines[row])
        if area == 0:
            continue
        seen = clip_polygon(outlines[row], window)
        share[row] = 0.0 if seen is None else polygon_area(seen) / area
        if seen is not None:
            boxes[row] = np.append(seen.min(axis=0), seen.max(axis=0))
    return boxes, share


def clip_polygon(polygon: Array, window: Array) -> Array | None:
    """Return the part of a polygon in a window, or None where nothing is left.

    The method is that of Sutherland and Hodgman (CACM 17, 1974): a concave polygon that the window
    cuts in two stays one, whose parts are joined along the edge of the window.

    Args:
        polygon: (K, 2) pixels.
        window: (4,) xyxy.
    """
    low, high = window[:2], window[2:]
    if ((polygon >= low - TOLERANCE) & (polygon <= high + TOLERANCE)).all():
        return np.clip(polygon, low, high)
    for axis in (0, 1):
        for limit, side in ((low[axis], 1), (high[axis], -1)):
            polygon = _on_one_side(polygon, axis, limit, side)
    return polygon if len(polygon) >= 3 and polygon_area(polygon) > 0 else None


def inside(points: Array, window: Array) -> NDArray[np.bool_]:
    """Tell which of (N, 2) points lie in a window or on its edge: (N,) bool."""
    low, high = window[:2] - TOLERANCE, window[2:] + TOLERANCE
    return np.asarray(((points >= low) & (points <= high)).all(axis=-1))


def _on_one_side(polygon: Array, axis: int, limit: float, side: int) -> Array:
    """Return the part of a polygon on one side of a line."""
    if not len(polygon):
        return polygon
    kept = side * (polygon[:, axis] - limit) >= 0
    points = []
    for here, after, is_in, then_in in zip(
        polygon, np.roll(polygon, -1, 0), kept, np.roll(kept, -1), strict=True
    ):
        if is_in:
            points.append(here)
        if is_in != then_in:
            share = (limit - here[axis]) / (after[axis] - here[axis])
            crossing = here + share * (after - here)
            crossing[axis] = limit
            points.append(crossing)
    return np.array(points).reshape(-1, 2)
