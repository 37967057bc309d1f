"""Vectorised geometry: overlap, containment, one-to-one matching, order of polygon corners.

Boxes are xyxy and points x y, in pixels, with y downwards. Coordinates are continuous: the pixel in
column 3 reaches from x = 3 to x = 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rexkit.run_lengths import Mask, decode_mask
from rexkit.structures import Array

__all__ = [
    "Indices",
    "Mask",
    "box_corners",
    "box_coverage",
    "box_iou",
    "decode_mask",
    "ellipse_corners",
    "match",
    "order_polygon",
    "points_in_boxes",
    "points_in_mask",
    "points_in_polygon",
    "polygon_bounds",
    "polygon_coverage",
    "polygon_iou",
    "rotated_box_corners",
]

Indices = NDArray[np.int64]


def box_iou(a: ArrayLike, b: ArrayLike) -> Array:
    """Compute the intersection over union of every pair of boxes.

    Args:
        a: (N, 4) xyxy.
        b: (M, 4) xyxy.

    Returns:
        (N, M) in [0, 1]. A box without area (zero width or height, inverted, not finite)
        overlaps nothing, itself included.

    >>> box_iou([[0, 0, 10, 10]], [[0, 0, 10, 5], [20, 20, 30, 30], [5, 5, 5, 5]])
    array([[0.5, 0. , 0. ]])
    """
    a, b = _boxes(a), _boxes(b)
    shared = _intersection(a, b)
    return _share(shared, _area(a)[:, None] + _area(b) - shared)


def box_coverage(a: ArrayLike, b: ArrayLike) -> Array:
    """Compute the share of each box of ``a`` that lies in each box of ``b``.

    COCO compares a detection with a crowd region in this way.

    Args:
        a: (N, 4) xyxy.
        b: (M, 4) xyxy.

    Returns:
        (N, M) in [0, 1].

    >>> box_coverage([[0, 0, 10, 10]], [[0, 0, 100, 100], [5, 0, 100, 100]])
    array([[1. , 0.5]])
    """
    a, b = _boxes(a), _boxes(b)
    return _share(_intersection(a, b), _area(a)[:, None])


def polygon_iou(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> Array:
    """Compute the intersection over union of every pair of polygons.

    Args:
        a: N polygons, (K, 2) each, K >= 3; the last corner joins the first.
        b: M polygons.

    Returns:
        (N, M) in [0, 1]. An outline that crosses itself counts as the area its loops enclose; a
        polygon without area, or with a coordinate that is not finite, overlaps nothing.

    Raises:
        ValueError: a polygon has fewer than three corners.

    >>> square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    >>> polygon_iou([square], [[[0, 0], [2, 0], [2, 2]], [[5, 5], [6, 5], [6, 6]]])
    array([[0.5, 0. ]])
    """
    shared, area_a, area_b = _polygon_overlap(a, b)
    return _share(shared, area_a[:, None] + area_b - shared)


def polygon_coverage(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> Array:
    """Compute the share of each polygon of ``a`` that lies in each polygon of ``b``.

    ICDAR compares a detection with an unreadable region in this way.

    Args:
        a: N polygons, as in `polygon_iou`.
        b: M polygons.

    Returns:
        (N, M) in [0, 1].

    >>> square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    >>> polygon_coverage([square], [[[1, 0], [9, 0], [9, 9], [1, 9]]])
    array([[0.5]])
    """
    shared, area, _ = _polygon_overlap(a, b)
    return _share(shared, area[:, None])


def points_in_boxes(points: ArrayLike, boxes: ArrayLike) -> Mask:
    """Tell which points lie in which boxes, edges included.

    Args:
        points: (N, 2).
        boxes: (M, 4) xyxy.

    Returns:
        (N, M) bool.

    >>> points_in_boxes([[1, 1], [9, 9]], [[0, 0, 5, 5]])
    array([[ True],
           [False]])
    """
    xy, xyxy = _rows(points, 2)[:, None], _rows(boxes, 4)
    return np.asarray(((xyxy[:, :2] <= xy) & (xy <= xyxy[:, 2:])).all(axis=2))


def points_in_polygon(points: ArrayLike, polygon: ArrayLike) -> Mask:
    """Tell which points lie in a polygon, edges included, by the even-odd rule.

    Args:
        points: (N, 2).
        polygon: (K, 2), K >= 3.

    Returns:
        (N,) bool.

    >>> points_in_polygon([[1, 1], [0, 1], [3, 3]], [[0, 0], [4, 0], [0, 4]])
    array([ True,  True, False])
    """
    xy, start = _rows(points, 2)[:, None], _rows(polygon, 2)
    end = np.roll(start, -1, axis=0)
    (along_x, along_y), (x, y) = (end - start).T, np.moveaxis(xy - start, 2, 0)
    side = along_x * y - along_y * x
    # A ray from the point to the right crosses the edges that span its height and lie to its right.
    height = xy[..., 1]
    spans = np.logical_xor(start[:, 1] <= height, end[:, 1] <= height)
    crossed = spans & (side * along_y > 0)
    low, high = np.minimum(start, end), np.maximum(start, end)
    on_edge = (side == 0) & ((low <= xy) & (xy <= high)).all(axis=2)
    return np.asarray((crossed.sum(axis=1) % 2 == 1) | on_edge.any(axis=1))


def points_in_mask(points: ArrayLike, rle: Mapping[str, Any]) -> Mask:
    """Tell which points lie in a mask.

    Args:
        points: (N, 2) pixels; a point on the right or lower edge of the image belongs to the last
            pixel.
        rle: as in `decode_mask`.

    Returns:
        (N,) bool.
    """
    mask = decode_mask(rle)
    xy = _rows(points, 2)
    size = np.array(mask.shape[::-1])
    inside = np.all((xy >= 0) & (xy <= size), axis=1)
    x, y = np.minimum(np.where(inside[:, None], xy, 0).astype(np.int64), size - 1).T
    return np.asarray(inside & mask[y, x])


def order_polygon(polygon: ArrayLike) -> Array:
    """Order the corners of a polygon clockwise on the screen, from its top left corner.

    Top left is the corner with the smallest x + y; of several, the uppermost.

    Args:
        polygon: (K, 2).

    Returns:
        (K, 2); every corner keeps its two neighbours.

    >>> order_polygon([[0, 2], [4, 2], [4, 0], [0, 0]]).tolist()
    [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
    """
    xy = _rows(polygon, 2)
    after = np.roll(xy, -1, axis=0)
    if (xy[:, 0] * after[:, 1] - xy[:, 1] * after[:, 0]).sum() < 0:
        xy = xy[::-1]
    first = np.lexsort((xy[:, 1], xy.sum(axis=1)))[:1]
    return np.roll(xy, -first, axis=0) if len(xy) else xy


def box_corners(box: ArrayLike) -> Array:
    """Return the corners of a box, clockwise from the top left: (4, 2) for (4,) xyxy.

    >>> box_corners([0, 0, 4, 2]).tolist()
    [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def rotated_box_corners(box: ArrayLike, degrees: float) -> Array:
    """Return the corners of a box that is turned around its centre: (4, 2).

    Args:
        box: (4,) centre x, centre y, width, height.
        degrees: clockwise as seen in the image.

    >>> rotated_box_corners([5, 5, 4, 2], 90).round().tolist()
    [[6.0, 3.0], [6.0, 7.0], [4.0, 7.0], [4.0, 3.0]]
    """
    cx, cy, width, height = np.asarray(box, dtype=np.float64)
    x, y = np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]]) * [[width / 2], [height / 2]]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.stack([cx + cos * x - sin * y, cy + sin * x + cos * y], axis=1)


def ellipse_corners(
    centre: ArrayLike, radii: ArrayLike, degrees: float = 0.0, corners: int = 64
) -> Array:
    """Return a polygon that stands for an ellipse: (corners, 2).

    Args:
        centre: (2,) x y.
        radii: (2,) along x and along y, before it is turned.
        degrees: by which it is turned around its centre, clockwise as seen in the image.
        corners: how many.

    >>> ellipse_corners([5, 5], [4, 2], 90, corners=4).round().tolist()
    [[5.0, 9.0], [3.0, 5.0], [5.0, 1.0], [7.0, 5.0]]
    """
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    x, y = np.stack([np.cos(turns), np.sin(turns)]) * np.asarray(radii, dtype=np.float64)[:, None]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    return np.asarray(np.asarray(centre) + turned)


def polygon_bounds(polygon: ArrayLike) -> Array:
    """Return the box around a polygon: (4,) xyxy for (K, 2).

    >>> polygon_bounds([[0, 1], [4, 0], [3, 2]]).tolist()
    [0.0, 0.0, 4.0, 2.0]
    """
    xy = _rows(polygon, 2)
    return np.append(xy.min(axis=0), xy.max(axis=0))


def polygon_area(polygon: ArrayLike) -> float:
    """Return the area of a polygon (K, 2), by the formula of Gauss.

    >>> polygon_area([[0, 0], [4, 0], [4, 3]])
    6.0
    """
    x, y = np.asarray(polygon, dtype=np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def match(similarity: ArrayLike, threshold: float) -> tuple[Indices, Indices]:
    """Pair rows with columns one to one: the most pairs, and of those the most similar.

    A pair is allowed if its similarity is at least ``threshold``. Of all one-to-one choices of
    allowed pairs the largest is taken, and of those the one with the highest total similarity. So
    the number of pairs does not depend on the order of rows or columns. That matters because
    predictions have no scores. The usual greedy matching (COCOeval by score, the HumanRef benchmark
    in the order of the ground truth) finds the same pairs where none compete, and never more.

    The method is the assignment of least cost by shortest augmenting paths, of Jonker and Volgenant
    (Computing 38, 1987), on the rows and columns that compete.

    Args:
        similarity: (N, M); a pair with NaN is never allowed.
        threshold: the least similarity of a pair.

    Returns:
        (rows, columns) of the pairs, ascending by row.

    >>> match([[0.9, 0.8], [0.7, 0.1]], 0.5)  # greedy takes 0.9 and has nothing left to pair
    (array([0, 1]), array([1, 0]))
    """
    table = np.asarray(similarity, dtype=np.float64)
    allowed = table >= threshold
    row, column = np.nonzero(allowed)
    alone = (allowed.sum(axis=1)[row] == 1) & (allowed.sum(axis=0)[column] == 1)
    if alone.all():
        return row, column
    rows, columns = np.unique(row[~alone]), np.unique(column[~alone])
    competing = np.ix_(rows, columns)
    i, j = _assign(table[competing], allowed[competing])
    row, column = np.append(row[alone], rows[i]), np.append(column[alone], columns[j])
    order = np.argsort(row)
    return row[order], column[order]


def _assign(similarity: Array, allowed: Mask) -> tuple[Indices, Indices]:
    """`match` for rows and columns that compete, in any order."""
    size, width = similarity.shape
    if size > width:
        columns, rows = _assign(similarity.T, allowed.T)
        return rows, columns
    values = similarity[allowed]
    spread = np.ptp(values) or 1.0
    # One more pair is worth more than any gain in similarity that all pairs together can make.
    worth = np.where(allowed, size + 1 + (similarity - values.min()) / spread, 0.0)
    cost = worth.max() - worth
    column_of, row_of = np.full(size, -1), np.full(width, -1)
    # Each row first takes its best column if that is free; often this leaves little to do.
    best = cost.argmin(axis=1)
    taken, takers = np.unique(best, return_index=True)
    column_of[takers], row_of[taken] = taken, takers
    # Dual prices: cost - row_price - column_price is nowhere below zero, and zero for the pairs.
    row_price, column_price = cost[np.arange(size), best], np.zeros(width)
    for start in np.nonzero(column_of < 0)[0]:
        # Dijkstra's search from one free row to the nearest free column.
        distance, came_from = np.full(width, np.inf), np.full(width, -1)
        visited = np.zeros(width, dtype=np.bool_)
        row, reached = start, 0.0
        while True:
            through = reached + cost[row] - row_price[row] - column_price
            shorter = ~visited & (through < distance)
            distance[shorter], came_from[shorter] = through[shorter], row
            open_distance = np.where(visited, np.inf, distance)
            nearest = np.nonzero(open_distance == open_distance.min())[0]
            column = int(nearest[(row_of[nearest] >= 0).argmin()])  # a free one, if there is
            reached = distance[column]
            visited[column] = True
            if row_of[column] < 0:
                break
            row = row_of[column]
        seen = np.nonzero(visited & (row_of >= 0))[0]
        row_price[start] += reached
        row_price[row_of[seen]] += reached - distance[seen]
        column_price[seen] -= reached - distance[seen]
        while column >= 0:
            row = came_from[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
    rows = np.arange(size)
    kept = allowed[rows, column_of]
    return rows[kept], column_of[kept]


def _rows(values: ArrayLike, width: int) -> Array:
    return np.asarray(values, dtype=np.float64).reshape(-1, width)


def _boxes(values: ArrayLike) -> Array:
    boxes = _rows(values, 4)
    return np.where(np.all(np.isfinite(boxes), axis=1, keepdims=True), boxes, 0.0)


def _area(boxes: Array) -> Array:
    return np.asarray(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1))


def _intersection(a: Array, b: Array) -> Array:
    ax0, ay0, ax1, ay1 = a.T[..., None]
    bx0, by0, bx1, by1 = b.T
    width = np.minimum(ax1, bx1) - np.maximum(ax0, bx0)
    height = np.minimum(ay1, by1) - np.maximum(ay0, by0)
    return np.asarray(np.maximum(width, 0.0) * np.maximum(height, 0.0))


def _share(part: Array, whole: Array) -> Array:
    """Part / whole in [0, 1], and 0 where the whole is 0."""
    share = np.zeros(part.shape)
    np.divide(part, whole, out=share, where=whole > 0)
    return np.minimum(share, 1.0)


def _polygon_overlap(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> tuple[Array, Array, Array]:
    """Return the shared area of every pair of polygons (N, M), and the areas (N,) and (M,)."""
    import shapely

    shapes_a, shapes_b = _shapes(a), _shapes(b)
    near_a, near_b = shapely.STRtree(shapes_b).query(shapes_a, predicate="intersects")
    shared = np.zeros((len(shapes_a), len(shapes_b)))
    shared[near_a, near_b] = shapely.area(shapely.intersection(shapes_a[near_a], shapes_b[near_b]))
    return shared, shapely.area(shapes_a), shapely.area(shapes_b)


def _shapes(polygons: Sequence[ArrayLike]) -> NDArray[Any]:
    """Return valid shapely shapes, empty where a coordinate is not finite."""
    import shapely

    outlines = [_rows(polygon, 2) for polygon in polygons]
    lengths = [len(outline) for outline in outlines]
    corners = np.concatenate([np.empty((0, 2)), *outlines])
    broken = np.repeat(np.arange(len(outlines)), lengths)[~np.isfinite(corners).all(axis=1)]
    rings = shapely.linearrings(
        np.nan_to_num(corners, posinf=0.0, neginf=0.0),
        indices=np.repeat(np.arange(len(outlines)), lengths),
    )
    shapes = shapely.make_valid(shapely.polygons(rings), method="structure", keep_collapsed=False)
    shapes[broken] = shapely.Polygon()
    return np.asarray(shapes)
