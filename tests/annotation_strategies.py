"""Hypothesis strategies of annotations with any geometry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rexkit.phrases import clean_text
from rexkit.structures import Annotation, Instance


def random_mask(seed: int, width: int, height: int) -> dict[str, Any]:
    """Return the COCO RLE of noise, as pycocotools writes it."""
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(seed)
    pixels = (rng.random((height, width)) < rng.random()).astype(np.uint8)
    return dict(coco_mask.encode(np.asfortranarray(pixels)))


@st.composite
def annotations(draw: st.DrawFn, size: tuple[int, int] = (64, 48)) -> Annotation:
    """Draw annotations of an image, with any mixture of geometries."""
    width, height = size
    x, y = (st.floats(0, s) | st.integers(0, s) for s in size)
    words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>"), min_size=1)
    phrase = words.filter(lambda text: clean_text(text) == text)

    def point() -> Any:
        return np.array([draw(x), draw(y)], dtype=float)

    def one_instance() -> Instance:
        kinds = draw(st.sets(st.sampled_from(["bbox", "point", "polygon", "mask", "keypoints"])))
        instance = Instance(draw(phrase))
        if "bbox" in kinds or not kinds:
            corners = np.stack([point(), point()])
            instance.bbox = np.concatenate([corners.min(0), corners.max(0)])
        if "point" in kinds:
            instance.point = point()
        if "polygon" in kinds:
            instance.polygon = np.stack([point() for _ in range(draw(st.integers(3, 6)))])
        if "mask" in kinds:
            mask = random_mask(draw(st.integers(0, 99)), width, height)
            instance.mask = {**mask, "counts": mask["counts"].decode()}
        if "keypoints" in kinds:
            instance.keypoints = {"nose": point(), "left ear": None}
        instance.text = draw(
            st.none() | st.text(st.characters(exclude_categories=["Cs"])).map(clean_text)
        )
        instance.score = draw(st.none() | st.floats(0, 1))
        instance.ignore = draw(st.booleans())
        instance.extra = draw(st.dictionaries(st.sampled_from(["id", "area"]), st.integers()))
        return instance

    instances = [one_instance() for _ in range(draw(st.integers(0, 4)))]
    present = {i.phrase for i in instances}
    absent = draw(st.lists(phrase, unique=True, max_size=3))
    return Annotation(size, instances, [p for p in absent if p not in present])


def plain(annotation: Annotation) -> Any:
    """Return an annotation as lists and numbers, which can be compared exactly."""

    def simple(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.shape, value.tolist()
        if isinstance(value, dict):
            return {key: simple(item) for key, item in value.items()}
        return [simple(item) for item in value] if isinstance(value, (list, tuple)) else value

    return simple(asdict(annotation))
