"""Transforms: the annotation follows the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets.transforms import ColorJitter, RandomCrop, RandomFlip
from rexkit.geometry import decode_mask, polygon_area, polygon_bounds
from rexkit.run_lengths import encode_mask
from rexkit.structures import Annotation, Instance, Sample


def painted(sample: Sample) -> list[int]:
    """The box of the white pixels, right and bottom edge excluded."""
    white = np.asarray(sample.image.convert("L")) > 128
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


@pytest.fixture
def sample() -> Sample:
    image = Image.new("RGB", (100, 60))
    image.paste((255, 255, 255), (20, 10, 40, 50))
    cup = Instance(
        "cup",
        bbox=np.array([20.0, 10, 40, 50]),
        point=np.array([20.0, 10.0]),
        keypoints={"nose": np.array([30.0, 10.0]), "neck": None},
    )
    return Sample(image, Annotation((100, 60), [cup], ["dog"]), "here:1")


@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 0), (0, 1), (1, 1), (0, 0)])
def test_flip_moves_image_and_annotation_together(sample, horizontal, vertical):
    flipped = RandomFlip(horizontal, vertical)(sample, np.random.default_rng(0))
    cup = flipped.annotation.instances[0]
    assert cup.bbox.tolist() == painted(flipped)
    x, y = (80 if horizontal else 20), (50 if vertical else 10)
    assert cup.point.tolist() == [x, y]
    assert cup.keypoints["nose"].tolist() == [70 if horizontal else 30, y]
    assert cup.keypoints["neck"] is None
    assert sample.annotation.instances[0].bbox.tolist() == [20, 10, 40, 50]


@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 0), (0, 1), (1, 1)])
def test_a_mirror_swaps_left_and_right_and_half_a_turn_does_not(sample, horizontal, vertical):
    person = sample.annotation.instances[0]
    person.keypoints = {"left eye": np.array([25.0, 20.0]), "right eye": np.array([35.0, 20.0])}
    person.extra = {"hidden_keypoints": ["left eye"]}
    (flipped,) = RandomFlip(horizontal, vertical)(
        sample, np.random.default_rng(0)
    ).annotation.instances
    # What is a right eye on an image is a left one in the mirror.
    there = "left eye" if horizontal == vertical else "right eye"
    x, y = (75 if horizontal else 25), (40 if vertical else 20)
    assert flipped.keypoints[there].tolist() == [x, y]
    assert list(flipped.keypoints) == ["left eye", "right eye"]
    assert flipped.extra == {"hidden_keypoints": [there]}


def test_a_mirror_refuses_keypoints_it_does_not_know(sample):
    flip = RandomFlip(1.0)
    for names, message in (
        (["antenna"], "no schema of the keypoints antenna"),
        (["nose", "antenna"], "'antenna'"),
    ):
        sample.annotation.instances[0].keypoints = dict.fromkeys(names)
        with pytest.raises(ValueError, match=f"here:1.*{message}"):
            flip(sample, np.random.default_rng(0))


@pytest.fixture
def outlined(sample) -> Sample:
    """The white pixels as a mask, as a crowd of run lengths, and as a polygon."""
    pixels = np.asarray(sample.image.convert("L")) > 128
    mask, box = encode_mask(pixels), np.array([20.0, 10, 40, 50])
    crowd = {**mask, "counts": [10 + 20 * 60, *[40, 20] * 19, 40, 10 + 60 * 60]}
    instances = [
        Instance("cup", bbox=box, mask=mask),
        Instance("cup", bbox=box, mask=crowd, ignore=True),
        Instance("cup", polygon=box[[[0, 1], [2, 1], [2, 3], [0, 3]]]),
        Instance("cup", mask=mask),
    ]
    return replace(sample, annotation=Annotation((100, 60), instances, ["dog"]))


@pytest.mark.parametrize(
    "transform", [RandomFlip(0.5, 0.5), RandomCrop((0.4, 0.9), min_visible=0.3)]
)
def test_outlines_follow_the_image(outlined, transform):
    for seed in range(20):
        changed = transform(outlined, np.random.default_rng(seed))
        white = np.asarray(changed.image.convert("L")) > 128
        assert len(changed.annotation.instances) == 4
        for instance in changed.annotation.instances:
            if instance.mask is not None:
                assert np.array_equal(decode_mask(instance.mask), white)
            if instance.bbox is not None:
                assert instance.bbox.tolist() == painted(changed)
            if instance.polygon is not None:
                assert polygon_bounds(instance.polygon).tolist() == painted(changed)
                assert polygon_area(instance.polygon) == white.sum()
    assert outlined.annotation.instances[1].mask["counts"][0] == 1210


def test_a_crop_cuts_a_polygon_at_its_edges(sample):
    triangle = np.array([[20.0, 10], [40, 10], [40, 50]])
    dart = np.array([[0.0, 0], [99, 30], [0, 59], [50, 30]])
    for seed in range(20):
        for corners in (triangle, dart):
            instance = Instance("sail", polygon=corners)
            sample.annotation = Annotation((100, 60), [instance])
            cut = RandomCrop((0.5, 0.9), min_visible=0.01)(sample, np.random.default_rng(seed))
            left = [i.polygon for i in cut.annotation.instances]
            assert all(0 < polygon_area(p) <= polygon_area(corners) for p in left)
            low, high = left[0].min(0), left[0].max(0)
            assert (low >= 0).all()
            assert (high <= cut.image.size).all()


def test_crop_keeps_what_is_seen(sample):
    sample.annotation.instances[0].keypoints = None
    kept = 0
    for seed in range(40):
        cut = RandomCrop((0.4, 0.9), min_visible=0.5)(sample, np.random.default_rng(seed))
        assert cut.image.size == cut.annotation.image_size
        assert cut.annotation.absent == ["dog"]
        for cup in cut.annotation.instances:
            kept += 1
            assert cup.bbox.tolist() == painted(cut)
            assert np.prod(cup.bbox[2:] - cup.bbox[:2]) >= 0.5 * 20 * 40
    assert kept == 40


def test_crop_never_leaves_an_image_without_instances(sample):
    sample.annotation.instances[0].keypoints = None
    crops = [RandomCrop((0.1, 0.1))(sample, np.random.default_rng(i)) for i in range(40)]
    assert all(len(cut.annotation.instances) == 1 for cut in crops)
    assert any(cut is sample for cut in crops)


def test_keypoints_outside_a_crop_are_not_visible(sample):
    sample.annotation.instances[0].bbox = None
    sample.annotation.instances[0].point = None
    for seed in range(20):
        cut = RandomCrop((0.4, 0.8))(sample, np.random.default_rng(seed))
        (cup,) = cut.annotation.instances
        assert cup.keypoints["neck"] is None
        x, y = map(int, cup.keypoints["nose"])
        assert painted(cut)[1] == y
        assert cut.image.getpixel((min(x, cut.image.width - 1), y)) == (255, 255, 255)


def test_jitter_changes_colours_only(sample):
    image = Image.new("RGB", (8, 8), (120, 60, 30))
    plain = Sample(image, sample.annotation, "here:2")
    seen = {
        ColorJitter(0.5)(plain, np.random.default_rng(i)).image.getpixel((0, 0)) for i in range(5)
    }
    assert len(seen) == 5
    assert image.getpixel((0, 0)) == (120, 60, 30)
