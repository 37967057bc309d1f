"""Laws of overlap, containment and matching."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rexkit.geometry import (
    box_coverage,
    box_iou,
    decode_mask,
    match,
    order_polygon,
    points_in_boxes,
    points_in_mask,
    points_in_polygon,
    polygon_iou,
)

SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2]]

pixels = st.floats(-1e4, 1e4, allow_nan=False)
any_boxes = hnp.arrays(
    np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats() | pixels
)
sizes = st.floats(1.0, 500.0)
real_boxes = st.lists(st.tuples(pixels, pixels, sizes, sizes), min_size=1, max_size=5).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows])
)
grid_points = hnp.arrays(np.int64, (8, 2), elements=st.integers(-2, 8))
tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    elements=st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.8, 1.0]) | st.floats(0, 1),
)


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


class TestBoxIou:
    def test_by_hand(self):
        a = [[0, 0, 10, 10], [0, 0, 4, 2]]
        b = [[0, 0, 10, 10], [5, 5, 15, 15], [10, 0, 20, 10]]
        assert np.allclose(box_iou(a, b), [[1, 25 / 175, 0], [0.08, 0, 0]])

    @given(any_boxes, any_boxes)
    def test_is_a_share_whatever_the_boxes(self, a, b):
        with np.errstate(over="ignore", invalid="ignore"):  # boxes of 1e300 pixels
            iou = box_iou(a, b)
        assert iou.shape == (len(a), len(b))
        assert ((iou >= 0) & (iou <= 1)).all()

    @given(real_boxes, real_boxes)
    def test_symmetric_and_one_only_for_itself(self, a, b):
        assert np.array_equal(box_iou(a, b), box_iou(b, a).T)
        assert np.array_equal(np.diag(box_iou(a, a)), np.ones(len(a)))

    @given(real_boxes, real_boxes)
    def test_equals_that_of_the_polygons(self, a, b):
        outlines = [boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) for boxes in (a, b)]
        assert np.allclose(box_iou(a, b), polygon_iou(*outlines), atol=1e-6)

    @pytest.mark.parametrize(
        "box",
        [
            [5, 5, 5, 5],
            [0, 3, 9, 3],
            [9, 9, 0, 0],
            [0, 9, 9, 0],
            [0, 0, np.nan, 9],
            [0, 0, np.inf, 9],
        ],
    )
    def test_without_area_overlaps_nothing(self, box):
        assert (box_iou([box], [box, [0, 0, 10, 10]]) == 0).all()
        assert (box_coverage([box], [[0, 0, 10, 10]]) == 0).all()

    def test_coverage(self):
        assert box_coverage([[0, 0, 10, 10]], [[0, 0, 5, 20], [-5, -5, 50, 50]]).tolist() == [
            [0.5, 1]
        ]
        assert box_coverage([], [[0, 0, 1, 1]]).shape == (0, 1)


class TestPolygonIou:
    def test_crossing_itself(self):
        bow_tie = [[0, 0], [2, 2], [2, 0], [0, 2]]
        assert polygon_iou([bow_tie], [SQUARE]).tolist() == [[0.5]]

    def test_concave(self):
        corner = [[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]
        assert polygon_iou([corner], [SQUARE, [[1, 1], [2, 1], [2, 2], [1, 2]]]).tolist() == [
            [0.75, 0]
        ]

    def test_without_area(self):
        flat, broken = [[0, 0], [1, 1], [2, 2]], [[0, 0], [np.nan, 1], [2, 2]]
        assert (polygon_iou([flat, broken], [SQUARE, flat]) == 0).all()

    def test_none(self):
        assert polygon_iou([], [SQUARE]).shape == (0, 1)
        assert polygon_iou([SQUARE], []).shape == (1, 0)

    def test_two_corners_are_no_polygon(self):
        with pytest.raises(ValueError, match="coordinates"):
            polygon_iou([SQUARE[:2]], [SQUARE])


class TestContainment:
    @given(grid_points, st.lists(st.integers(0, 6), min_size=4, max_size=4))
    def test_rectangle_is_the_same_as_box_or_polygon(self, points, sides):
        x0, x1 = sorted(sides[:2])
        y0, y1 = sorted(sides[2:])
        polygon = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        in_box = points_in_boxes(points, [[x0, y0, x1, y1]])[:, 0]
        assert np.array_equal(points_in_polygon(points, polygon), in_box)

    @given(
        hnp.arrays(np.int64, st.tuples(st.integers(3, 7), st.just(2)), elements=st.integers(0, 9)),
        grid_points,
    )
    def test_polygon_agrees_with_shapely(self, corners, points):
        ring = shapely.polygons(corners)
        if not ring.is_valid:  # where outlines cross, rules of what is inside differ
            return
        assert np.array_equal(
            points_in_polygon(points, corners), ring.covers(shapely.points(points))
        )

    def test_nan_lies_nowhere(self):
        nowhere = [[np.nan, 1.0]]
        assert not points_in_boxes(nowhere, [[0, 0, 9, 9]]).any()
        assert not points_in_polygon(nowhere, SQUARE).any()
        assert not points_in_mask(nowhere, {"size": [2, 3], "counts": [0, 6]}).any()

    def test_mask(self):
        rle = {"size": [2, 3], "counts": [2, 2, 2]}  # the middle column
        assert decode_mask(rle).tolist() == [[False, True, False]] * 2
        points = [
            [0.9, 0.5],
            [1.0, 0.5],
            [1.99, 2.0],
            [2.0, 1.0],
            [3.0, 2.0],
            [1.5, -0.1],
            [1.5, 2.1],
        ]
        assert points_in_mask(points, rle).tolist() == [
            False,
            True,
            True,
            False,
            False,
            False,
            False,
        ]
        whole = {"size": [2, 3], "counts": [0, 6]}
        assert points_in_mask([[3.0, 2.0], [0.0, 0.0], [3.1, 0.0]], whole).tolist() == [
            True,
            True,
            False,
        ]

    def test_mask_counts_as_string_bytes_or_list(self):
        from pycocotools import mask as coco_mask

        pixels = np.random.default_rng(0).random((7, 5)) < 0.5
        packed = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
        text = {**packed, "counts": packed["counts"].decode()}
        assert np.array_equal(decode_mask(packed), pixels)
        assert np.array_equal(decode_mask(text), pixels)


class TestOrderPolygon:
    @given(
        st.integers(0, 3),
        st.booleans(),
        st.integers(-50, 50),
        st.integers(-50, 50),
        st.integers(1, 50),
        st.integers(1, 50),
    )
    def test_any_order_of_a_rectangle(self, start, back, x, y, w, h):
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], dtype=float)
        shuffled = np.roll(corners[::-1] if back else corners, start, axis=0)
        assert np.array_equal(order_polygon(shuffled), corners)

    def test_real_receipt_starting_bottom_left(self):
        quad = [[80, 140], [310, 138], [310, 100], [80, 102]]
        assert order_polygon(quad).tolist() == [[80, 102], [310, 100], [310, 138], [80, 140]]

    def test_keeps_the_outline_of_a_curve(self):
        curve = np.array([[0, 5], [5, 0], [10, 5], [10, 9], [5, 4], [0, 9]], dtype=float)
        ordered = order_polygon(curve[::-1])
        first = ordered[0].tolist()
        assert first in ([0, 5], [5, 0])
        assert sorted(map(tuple, ordered)) == sorted(map(tuple, curve))
        steps = {
            frozenset((tuple(a), tuple(b)))
            for a, b in zip(curve, np.roll(curve, -1, 0), strict=True)
        }
        after = np.roll(ordered, -1, 0)
        assert {
            frozenset((tuple(a), tuple(b))) for a, b in zip(ordered, after, strict=True)
        } == steps

    def test_empty(self):
        assert order_polygon([]).shape == (0, 2)


def every_matching(table, threshold):
    """Every one-to-one choice of allowed pairs, by trying."""
    n, m = table.shape
    wide = table if n <= m else table.T
    for columns in itertools.permutations(range(wide.shape[1]), wide.shape[0]):
        yield [wide[i, j] for i, j in enumerate(columns) if wide[i, j] >= threshold]


def greedy(table, threshold):
    """The field's usual matching: the most similar pair first."""
    table, count = table.copy(), 0
    while table.size and table.max() >= threshold:
        i, j = np.unravel_index(table.argmax(), table.shape)
        table[i, :] = table[:, j] = -1
        count += 1
    return count


class TestMatch:
    @given(tables, st.sampled_from([0.0, 0.3, 0.5, 0.75]))
    def test_best_of_all_matchings(self, table, threshold):
        rows, columns = match(table, threshold)
        found = table[rows, columns]
        assert (found >= threshold).all()
        assert len(set(rows)) == len(rows) == len(columns) == len(set(columns))
        assert rows.tolist() == sorted(rows)
        best = max((len(values), sum(values)) for values in every_matching(table, threshold))
        assert len(found) == best[0]
        assert found.sum() == pytest.approx(best[1], abs=1e-9)

    @given(tables, st.sampled_from([0.3, 0.5]), st.randoms(use_true_random=False))
    def test_order_changes_neither_count_nor_similarity(self, table, threshold, random):
        rows, columns = list(range(table.shape[0])), list(range(table.shape[1]))
        random.shuffle(rows)
        random.shuffle(columns)
        shuffled = table[np.ix_(rows, columns)]
        before, after = match(table, threshold), match(shuffled, threshold)
        assert len(before[0]) == len(after[0])
        assert table[before].sum() == pytest.approx(shuffled[after].sum(), abs=1e-9)
        assert len(match(table.T, threshold)[0]) == len(before[0])

    @pytest.mark.parametrize("shape", [(30, 30), (40, 17), (5, 60)])
    def test_large_and_never_below_greedy(self, shape):
        rng = np.random.default_rng(3)
        for threshold in (0.0, 0.5, 0.9, 0.98):
            table = rng.random(shape)
            rows, columns = match(table, threshold)
            assert len(set(columns)) == len(rows) >= greedy(table, threshold)
            assert (table[rows, columns] >= threshold).all()

    def test_agrees_with_a_general_solver(self):
        networkx = pytest.importorskip("networkx")
        rng = np.random.default_rng(5)
        table = np.round(rng.random((25, 20)), 1)
        graph = networkx.Graph()
        graph.add_weighted_edges_from(
            (("row", i), ("column", j), table[i, j])
            for i, j in zip(*np.nonzero(table >= 0.7), strict=True)
        )
        pairs = networkx.max_weight_matching(graph, maxcardinality=True)
        total = sum(graph.edges[pair]["weight"] for pair in pairs)
        rows, columns = match(table, 0.7)
        assert len(rows) == len(pairs)
        assert table[rows, columns].sum() == pytest.approx(total)

    def test_nan_and_nothing(self):
        assert match([[np.nan, 0.9]], 0.5)[1].tolist() == [1]
        assert [len(x) for x in match(np.zeros((0, 3)), 0.5)] == [0, 0]
        assert [len(x) for x in match(np.zeros((3, 0)), 0.0)] == [0, 0]
