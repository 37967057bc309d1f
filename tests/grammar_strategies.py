"""Hypothesis strategies of annotations that the answer grammar can write."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from rexkit.grammar import to_pixels
from rexkit.phrases import SPECIAL, clean_text
from rexkit.structures import Annotation, Instance

# Deadlines fail on busy machines; the growth of time is tested separately.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

SIZES = st.tuples(st.integers(1, 100_000), st.integers(1, 100_000))
BINS = st.integers(0, 999)

# Characters of any script, and those of the grammar's own tokens.
CHARACTERS = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('<>|,{}"\\ \n09'))
WORDS = (
    st.text(CHARACTERS, min_size=1, max_size=12)
    .map(clean_text)
    .filter(lambda word: word and not SPECIAL.search(word))
)
TEXTS = WORDS


def ordered(box: list[int]) -> list[int]:
    x0, y0, x1, y1 = box
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]


BOXES = st.lists(BINS, min_size=4, max_size=4).map(ordered)
POINTS = st.lists(BINS, min_size=2, max_size=2)
POLYGONS = st.lists(POINTS, min_size=3, max_size=7)


NO_TEXTS = st.none()


@st.composite
def instances(draw, size, phrases, texts):
    """Draw one instance with one geometry whose coordinates are bins."""
    kind, bins = draw(
        st.one_of(
            st.tuples(st.just("bbox"), BOXES),
            st.tuples(st.just("point"), POINTS),
            st.tuples(st.just("polygon"), POLYGONS),
        )
    )
    geometry = to_pixels(bins, size)
    return Instance(draw(phrases), **{kind: geometry}, text=draw(texts))


@st.composite
def annotations(draw, texts=NO_TEXTS):
    """Draw an annotation with repeated and absent phrases."""
    size = draw(SIZES)
    phrases = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
    found = draw(st.lists(instances(size, st.sampled_from(phrases), texts), max_size=8))
    return Annotation(size, found, [p for p in phrases if p not in {i.phrase for i in found}])


@st.composite
def keypoint_annotations(draw):
    """Draw instances with a box and named keypoints, some of them invisible."""
    size = draw(SIZES)
    phrases = st.lists(
        WORDS.filter(lambda word: not word[-1].isdigit()), min_size=1, max_size=2, unique=True
    )
    names = st.dictionaries(WORDS, st.none() | POINTS, max_size=4)
    found = []
    for phrase in draw(phrases):
        for _ in range(draw(st.integers(0, 3))):
            points = {
                name: None if bins is None else to_pixels(bins, size)
                for name, bins in draw(names).items()
            }
            box = to_pixels(draw(BOXES), size)
            found.append(Instance(phrase, bbox=box, keypoints=points))
    return Annotation(size, found)


def geometry_of(instance: Instance) -> tuple[str, list]:
    """Return the kind and coordinates of an instance, for comparison."""
    for kind in ("bbox", "point", "polygon"):
        coords = getattr(instance, kind)
        if coords is not None:
            return kind, np.asarray(coords).tolist()
    return "none", []
