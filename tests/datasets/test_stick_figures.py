"""Stick figures: repeatable, and faithful to their boxes and keypoints."""

from __future__ import annotations

import numpy as np
import pytest

from rexkit.datasets import StickFiguresDataset
from rexkit.datasets.shapes_dataset import COLORS
from rexkit.datasets.stick_figures_dataset import LIMBS
from rexkit.keypoints import SCHEMAS


def test_a_sample_depends_on_seed_and_index_alone():
    one, two = StickFiguresDataset(10, seed=3)[7], StickFiguresDataset(20, seed=3)[7]
    assert one.image.tobytes() == two.image.tobytes()
    assert one.annotation.to_dict() == two.annotation.to_dict()
    assert StickFiguresDataset(10, seed=4)[7].image.tobytes() != one.image.tobytes()
    with pytest.raises(IndexError):
        StickFiguresDataset(3)[3]


@pytest.mark.parametrize("image_size", [(128, 128), (300, 200)])
def test_the_box_is_what_was_painted(image_size):
    for sample in map(StickFiguresDataset(30, image_size=image_size).__getitem__, range(30)):
        pixels = np.asarray(sample.image).astype(int)
        painted = np.abs(pixels - pixels[0, 0]).max(axis=2) > 0
        rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        extent = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        (figure,) = sample.annotation.instances
        assert np.abs(figure.bbox - extent).max() <= 1.5
        assert (figure.bbox >= 0).all()
        assert (figure.bbox <= np.tile(image_size, 2)).all()


def test_a_keypoint_is_in_its_colour_and_a_missing_limb_is_not_painted():
    missing = set()
    for sample in map(StickFiguresDataset(60, seed=5).__getitem__, range(60)):
        pixels = np.asarray(sample.image)
        (figure,) = sample.annotation.instances
        assert list(figure.keypoints) == list(SCHEMAS["figure"].keypoints)
        for name, color in LIMBS.items():
            painted = (pixels == COLORS[color]).all(axis=2)
            place = figure.keypoints[name]
            assert painted.any() == (place is not None)
            if place is None:
                missing.add(name)
            else:
                x, y = place.astype(int)
                assert painted[y, x]
        x, y = figure.keypoints["nose"].astype(int)
        assert pixels[y, x].tolist() == list(COLORS["black"])
    assert missing == set(LIMBS)


def test_left_is_on_the_right_hand_side_of_who_faces_us():
    for sample in map(StickFiguresDataset(40, missing=0).__getitem__, range(40)):
        (figure,) = sample.annotation.instances
        for left, right in SCHEMAS["figure"].pairs:
            assert figure.keypoints[left][0] > figure.keypoints[right][0]


def test_two_figures_stand_beside_each_other():
    for sample in map(StickFiguresDataset(20, num_figures=(2, 2)).__getitem__, range(20)):
        left, right = sample.annotation.boxes()
        assert left[2] < right[0]


def test_a_response_is_short_in_the_tiny_tokenizer():
    from rexkit.grammar import write_keypoints
    from rexkit.models.tiny_tokenizer import build_tiny_tokenizer

    tokenizer = build_tiny_tokenizer()
    annotation = StickFiguresDataset(1, missing=0)[0].annotation
    response = write_keypoints(annotation.instances, annotation.image_size)
    assert len(tokenizer(response)["input_ids"]) < 120
