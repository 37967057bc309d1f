"""Conversion between pixels and bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from grammar_strategies import SIZES
from hypothesis import given
from hypothesis import strategies as st

from rexkit.grammar import LAST_BIN, NUM_BINS, to_bins, to_pixels


@given(SIZES)
def test_every_bin_is_restored(size):
    every = np.repeat(np.arange(NUM_BINS), 2).reshape(-1, 2)
    assert (to_bins(to_pixels(every, size), size) == every).all()


@given(SIZES, st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2))
def test_the_formula(size, xy):
    expected = [
        min(LAST_BIN, math.floor(min(max(v / side, 0.0), 1.0) * 999 + 1e-9))
        for v, side in zip(xy, size, strict=True)
    ]
    assert to_bins(xy, size).tolist() == expected


@given(SIZES, st.floats(0, 1), st.floats(0, 1))
def test_a_pixel_moves_by_less_than_a_bin(size, u, v):
    xy = np.array([u * size[0], v * size[1]])
    moved = xy - to_pixels(to_bins(xy, size), size)
    assert (moved < np.array(size) / LAST_BIN * (1 + 1e-6)).all()
    assert (moved > -1e-6 * np.array(size)).all()


def test_shapes_are_kept():
    assert to_bins(np.zeros((3, 5, 2)), (10, 10)).shape == (3, 5, 2)
    assert to_pixels(np.zeros((0, 4)), (10, 10)).shape == (0, 4)
    assert to_bins([], (10, 10)).shape == (0,)


def test_pixels_are_those_the_released_parser_prints():
    assert to_pixels([23, 294], (1440, 810)).tolist() == [33.153153153153156, 238.37837837837836]


@pytest.mark.parametrize("bad", [[math.nan, 0], [math.inf, 0], [0, 1, 2], 5])
def test_bad_coordinates(bad):
    with pytest.raises(ValueError, match="coordinates must"):
        to_bins(bad, (10, 10))


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (math.nan, 5)])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="image_size must be"):
        to_bins([0, 0], size)
    with pytest.raises(ValueError, match="image_size must be"):
        to_pixels([0, 0], size)
