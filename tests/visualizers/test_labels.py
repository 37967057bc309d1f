"""Labels: where they lie, how long they are, and characters that the font lacks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rexkit.geometry import box_coverage
from rexkit.structures import Annotation, Instance
from rexkit.visualizers import PillowVisualizer
from rexkit.visualizers.labels import drawable, place, shorten, wrap
from rexkit.visualizers.pillow import load_font


@given(
    st.lists(st.tuples(*[st.integers(-20, 300)] * 4), max_size=8),
    st.tuples(st.integers(1, 250), st.integers(1, 250)),
    st.data(),
)
def test_places_lie_inside(corners, bounds, data):
    anchors = np.sort(np.array(corners, dtype=float).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    size = st.tuples(st.integers(1, bounds[0]), st.integers(1, bounds[1]))
    sizes = [data.draw(size) for _ in anchors]
    places = place(anchors, sizes, bounds)
    assert (places[:, :2] >= 0).all()
    assert (places[:, 2:] <= bounds).all()
    assert np.array_equal(places[:, 2:] - places[:, :2], np.reshape(sizes, (-1, 2)))
    assert np.array_equal(places, np.round(places))


def test_places_do_not_hide_one_another():
    """Twelve boxes over each other, too close for a label above each."""
    start = 40 + 8 * np.arange(12.0)
    anchors = np.stack([start, start, start + 120, start + 90], axis=1)
    places = place(anchors, [(60, 16)] * 12, (400, 300))
    overlap = box_coverage(places, places) - np.eye(12)
    assert overlap.max() == 0


def test_places_do_not_hide_small_things():
    anchors = np.array([[50.0, 50, 60, 60], [50, 30, 60, 45]])
    places = place(anchors, [(40, 14), (40, 14)], (200, 200))
    assert box_coverage(anchors, places).max() < 0.5


def test_long_text_is_cut_to_the_image():
    font = load_font(14)
    assert shorten("cup", font, 100) == "cup"
    cut = shorten("a very long expression that refers to one cup", font, 100)
    assert cut.endswith("…")
    assert font.getlength(cut) <= 100
    assert shorten("cup", font, 1) == ""


def test_wrap():
    font = load_font(14)
    lines = wrap("one two three four five six seven", font, 80, 10)
    assert " ".join(lines) == "one two three four five six seven"
    assert all(font.getlength(line) <= 80 for line in lines)
    unbroken = wrap("<20><35>" * 50, font, 80, 3)
    assert len(unbroken) == 3
    assert unbroken[-1].endswith("…")
    assert all(font.getlength(line) <= 80 for line in unbroken)


def test_lines_have_the_numbers_of_what_the_font_lacks():
    assert wrap("a 杯 b", load_font(14), 500, 2) == ["a [676F] b"]


def test_characters_that_the_font_lacks_are_told_apart():
    font = load_font(14)
    assert drawable("red café", font) in ("red café", "red cafe")
    assert drawable("a 杯子 b", font) == "a [676F 5B50] b"
    assert drawable("كوب", font) != drawable("قطة", font)
    images = []
    for phrase in ("杯", "犬"):
        found = Annotation((200, 100), [Instance(phrase, bbox=[20, 40, 180, 90])])
        image = PillowVisualizer(palette={phrase: "red"}).draw(Image.new("RGB", (200, 100)), found)
        images.append(image.tobytes())
    assert images[0] != images[1]
