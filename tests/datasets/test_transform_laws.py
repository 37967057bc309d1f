"""Laws of the transforms: maps have inverses, nothing leaves the image, geometries agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.datasets.transforms import (
    RandomBlur,
    RandomCrop,
    RandomFlip,
    RandomGrayscale,
    RandomJpeg,
    RandomNoise,
    RandomPerspective,
    RandomRotate,
    Resize,
    Rotate90,
    Warp,
    warp_annotation,
)
from rexkit.errors import DataError
from rexkit.geometry import box_corners, polygon_area
from rexkit.registry import TRANSFORMS
from rexkit.run_lengths import decode_mask, encode_mask, encode_placed_mask
from rexkit.structures import Annotation, Instance, Sample

SIZE = (64, 48)
GEOMETRIC = [
    RandomFlip(1.0, phrases="keep"),
    RandomCrop((0.3, 0.9), aspect=(0.5, 2.0), attempts=4),
    Resize(scale=(0.3, 3.0)),
    Rotate90(1.0, phrases="keep"),
    RandomRotate(180.0, phrases="keep"),
    RandomRotate(30.0, expand=True, boxes="ellipse"),
    RandomPerspective(0.24),
]


@st.composite
def warps(draw: st.DrawFn) -> Warp:
    kind = draw(st.sampled_from(["flip", "quarters", "resize", "rotation", "corners"]))
    if kind == "flip":
        return Warp.flip(SIZE, draw(st.booleans()), draw(st.booleans()))
    if kind == "quarters":
        return Warp.quarter_turns(SIZE, draw(st.integers(0, 3)))
    if kind == "resize":
        return Warp.resize(SIZE, (draw(st.integers(8, 200)), draw(st.integers(8, 200))))
    if kind == "rotation":
        return Warp.rotation(SIZE, draw(st.floats(-180, 180)), expand=True)
    moves = draw(st.lists(st.floats(-0.24, 0.24), min_size=8, max_size=8))
    return Warp.corners(SIZE, box_corners([0, 0, *SIZE]) + np.reshape(moves, (4, 2)) * SIZE)


@settings(max_examples=25, deadline=None)
@given(warps(), st.lists(st.tuples(st.floats(0, 64), st.floats(0, 48)), min_size=3, max_size=6))
def test_a_map_and_its_inverse_give_points_back(warp: Warp, points: list[Any]) -> None:
    there = warp.points(points)
    assert np.abs(warp.inverse(SIZE).points(there) - points).max() < 0.1
    # A polygon, and a box where the map keeps boxes, go the same way.
    found = [Instance("cup", polygon=points, point=points[0]), Instance("cup", bbox=[4, 5, 30, 40])]
    wide = Warp(warp.matrix, (9999, 9999), np.array([-9999.0, -9999, 9999, 9999]))
    moved = warp_annotation(Annotation(SIZE, found), wide)
    whole = Warp(np.linalg.inv(warp.matrix), SIZE, wide.window)
    first, second = warp_annotation(moved, whole).instances
    assert first.polygon is not None
    assert np.abs(first.polygon - points).max() < 0.1
    assert np.abs(first.point - points[0]).max() < 0.1
    if warp.aligned:
        assert np.abs(second.bbox - [4, 5, 30, 40]).max() < 0.1


def sample_of(annotation: Annotation) -> Sample:
    return Sample(Image.new("RGB", annotation.image_size), annotation, "here:1")


@pytest.mark.parametrize("transform", GEOMETRIC, ids=lambda t: type(t).__name__)
@settings(max_examples=6, deadline=None)
@given(annotation=annotations(size=SIZE), seed=st.integers(0, 99))
def test_nothing_leaves_the_image(transform: Any, annotation: Annotation, seed: int) -> None:
    for instance in annotation.instances:
        instance.text = None
    before = plain(annotation)
    changed = transform(sample_of(annotation), np.random.default_rng(seed))
    again = transform(sample_of(annotation), np.random.default_rng(seed))
    assert plain(annotation) == before
    assert plain(changed.annotation) == plain(again.annotation)
    size = changed.annotation.image_size
    assert changed.image.size == size
    assert list(changed.annotation.absent) == list(annotation.absent)
    for i in changed.annotation.instances:
        points = [i.point, i.polygon, None if i.bbox is None else i.bbox.reshape(2, 2)]
        for xy in [*points, *(i.keypoints or {}).values()]:
            assert xy is None or ((xy >= 0) & (xy <= size)).all()
        assert i.bbox is None or (i.bbox[2:] >= i.bbox[:2]).all()
        assert i.mask is None or decode_mask(i.mask).shape == size[::-1]


def filled(polygon: Any, size: tuple[int, int]) -> Any:
    """The pixels whose middle is in a convex polygon."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    sides = []
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        sides.append((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0))
    return np.all(np.array(sides) >= 0, axis=0) | np.all(np.array(sides) <= 0, axis=0)


@pytest.mark.parametrize("transform", GEOMETRIC, ids=lambda t: type(t).__name__)
def test_masks_polygons_boxes_and_pixels_agree(transform: Any) -> None:
    size = (200, 140)
    hexagon = np.array([[40.0, 30], [90, 20], [130, 60], [120, 100], [70, 110], [35, 80]])
    image = Image.new("RGB", size)
    pixels = filled(hexagon, size)
    image.paste((255, 255, 255), (0, 0, *size), Image.fromarray(pixels.astype(np.uint8) * 255))
    box = np.array([35.0, 20, 130, 110])
    extra = {"area": polygon_area(hexagon), "segmentation": [[1, 2]]}
    instance = Instance(
        "cup", bbox=box, polygon=hexagon, mask=encode_mask(pixels), extra=dict(extra)
    )
    sample = Sample(image, Annotation(size, [instance]), "here:1")
    for seed in range(6):
        changed = transform(sample, np.random.default_rng(seed))
        (cup,) = changed.annotation.instances
        drawn = np.asarray(changed.image.convert("L"))
        drawn = drawn > 128 if drawn.max() > 200 else drawn > 0
        in_mask, in_polygon = decode_mask(cup.mask), filled(cup.polygon, changed.image.size)
        grey = np.abs(np.asarray(changed.image, dtype=int) - 128).max(axis=2) <= 1
        for one, other in ((in_mask, in_polygon), (in_mask, drawn & ~grey)):
            assert (one & other).sum() / (one | other).sum() > 0.95
        assert cup.extra["area"] == pytest.approx(in_mask.sum(), rel=0.05)
        assert "segmentation" not in cup.extra
        if not isinstance(transform, RandomCrop):  # which cuts boxes as boxes
            bounds = [*cup.polygon.min(0), *cup.polygon.max(0)]
            assert np.abs(cup.bbox - bounds).max() < 0.1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_placed_mask_is_that_of_the_whole_image(
    w: int, h: int, x: int, y: int, data: Any
) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=w * h, max_size=w * h))
    pixels = np.array(bits).reshape(h, w)
    whole = np.zeros((y + h + 1, x + w), dtype=np.bool_)
    whole[y : y + h, x : x + w] = pixels
    assert encode_placed_mask(pixels, (x, y), (x + w, y + h + 1)) == encode_mask(whole)


def test_a_crop_ignores_what_is_mostly_outside_and_drops_what_is_not_there() -> None:
    found = [
        Instance("cup", bbox=[0, 0, 20, 20]),
        Instance("dog", bbox=[16, 0, 56, 20]),
        Instance("cat", bbox=[30, 30, 40, 40]),
        Instance("pin", point=[60, 40]),
    ]
    extra = {"categories": ["cup", "dog", "cat", "pin"]}
    annotation = Annotation(SIZE, found, ["owl", "pin "], extra=extra)
    left = warp_annotation(annotation, Warp.crop(0, 0, (24, 24)), min_visible=0.5)
    assert [(i.phrase, i.ignore) for i in left.instances] == [("cup", False), ("dog", True)]
    assert left.instances[1].bbox.tolist() == [16, 0, 24, 20]
    # Of the object at a point outside, a part may be inside: its phrase is not asked about.
    assert left.extra["categories"] == ["cup", "dog", "cat"]


def test_phrases_change_sides_in_a_mirror() -> None:
    annotation = Annotation(
        SIZE, [Instance("Left shoe", bbox=[1, 1, 9, 9])], ["the rightmost cup"], extra={}
    )
    rng = np.random.default_rng(0)
    flipped = RandomFlip(1.0)(sample_of(annotation), rng).annotation
    assert flipped.phrases == ["Right shoe", "the leftmost cup"]
    assert RandomFlip(1.0, phrases="keep")(sample_of(annotation), rng).annotation.phrases == [
        "Left shoe",
        "the rightmost cup",
    ]
    for transform in (RandomFlip(0.0, 0.5), Rotate90(), RandomRotate(90)):
        with pytest.raises(DataError, match=r"here:1: .*'Left shoe' may no longer be true"):
            transform(sample_of(annotation), rng)
    assert RandomRotate(20)(sample_of(annotation), rng).annotation.phrases == annotation.phrases


def test_text_is_not_mirrored() -> None:
    annotation = Annotation(SIZE, [Instance("word", bbox=[1, 1, 9, 9], text="EXIT")])
    for flip in (RandomFlip(0.01), RandomFlip(0.0, 0.5)):
        with pytest.raises(DataError, match=r"here:1: RandomFlip mirrors text \('EXIT'\)"):
            flip(sample_of(annotation), np.random.default_rng(0))
    RandomFlip(1.0, 1.0)(sample_of(annotation), np.random.default_rng(0))  # half a turn
    RandomFlip(0.0, 0.0)(sample_of(annotation), np.random.default_rng(0))


def test_colours_and_sharpness_leave_the_annotation() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    sample = sample_of(Annotation(SIZE, [Instance("cup", bbox=[1, 1, 9, 9])]))
    sample.image = Image.fromarray(pixels)
    for transform in (RandomBlur(), RandomNoise(), RandomJpeg(), RandomGrayscale()):
        transform.probability = 1.0
        changed = transform(sample, np.random.default_rng(1))
        assert changed.annotation is sample.annotation
        assert (changed.image.mode, changed.image.size) == ("RGB", SIZE)
        assert not np.array_equal(np.asarray(changed.image), pixels)
        assert np.array_equal(np.asarray(sample.image), pixels)
        transform.probability = 0.0
        assert transform(sample, np.random.default_rng(1)) is sample
    sample.annotation.instances[0].phrase = "the red cup"
    assert RandomGrayscale(1.0)(sample, np.random.default_rng(1)) is sample


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(type="RandomFlip", horizontal=2), "horizontal: expected a number from 0 to 1"),
        (dict(type="RandomCrop", scale=(1, 0.5)), "scale: expected two ascending numbers"),
        (dict(type="RandomRotate", phrases="no"), "phrases: 'no' is none of"),
        (dict(type="RandomPerspective", strength=0.3), "strength: expected a number from 0"),
        (dict(type="Resize"), "give exactly one of size, longest and scale"),
        (dict(type="RandomJpeg", quality=(0, 200)), "quality: expected two ascending numbers"),
    ],
)
def test_wrong_arguments_are_refused(cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(cfg)
