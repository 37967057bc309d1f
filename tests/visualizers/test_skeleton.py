"""Skeletons: bones between what is seen, left and right told apart."""

from __future__ import annotations

import numpy as np
from PIL import Image

from rexkit.keypoints import SCHEMAS
from rexkit.structures import Annotation, Instance
from rexkit.visualizers import PillowVisualizer
from rexkit.visualizers.skeleton import SIDE_COLORS, Skeleton

RED = (255, 0, 0)


def spread(names, shift=0.0):
    return {name: np.array([10.0 * i + shift, 5.0 * (i % 4)]) for i, name in enumerate(names)}


def test_bones_join_what_is_seen():
    person = SCHEMAS["person"]
    whole = Skeleton.of(spread(person.keypoints), RED)
    assert len(whole.bones) == len(person.skeleton)
    assert len(whole.joints) == 17
    arm = Skeleton.of(spread(["left shoulder", "left elbow", "right wrist"]), RED)
    assert arm.bones.tolist() == [[[0, 0], [10, 5]]]
    assert arm.bone_colors == [SIDE_COLORS["left"]]
    assert arm.joint_colors == [SIDE_COLORS["left"]] * 2 + [SIDE_COLORS["right"]]


def test_a_bone_across_is_of_neither_side():
    across = Skeleton.of(spread(["left hip", "right hip", "nose"]), RED)
    assert across.bone_colors == [SIDE_COLORS[None]]
    assert across.joint_colors[2] == SIDE_COLORS[None]


def test_without_sides_everything_is_in_one_colour():
    hand = Skeleton.of(spread(SCHEMAS["hand"].keypoints), RED)
    grey = Skeleton.of(spread(SCHEMAS["person"].keypoints), RED, sided=False)
    strange = Skeleton.of(spread(["antenna", "stinger"]), RED)
    for skeleton in (hand, grey, strange):
        assert {*skeleton.joint_colors, *skeleton.bone_colors} == {RED}
    assert len(strange.bones) == 0
    assert len(hand.bones) == 20


def test_a_small_skeleton_has_thin_lines():
    assert Skeleton.of(spread(SCHEMAS["person"].keypoints), RED).line_width(4) < 4
    large = Skeleton.of({"nose": np.zeros(2), "left eye": np.array([300.0, 300])}, RED)
    assert large.line_width(4) == 4
    assert Skeleton.of({}, RED).line_width(3) == 3


def test_an_image_shows_bones_on_their_side():
    arm = {
        **dict.fromkeys(SCHEMAS["figure"].keypoints),
        "nose": np.array([50.0, 20.0]),
        "left hand": np.array([90.0, 80.0]),
        "right hand": np.array([10.0, 80.0]),
    }
    person = Instance("person", keypoints=arm)
    image = PillowVisualizer(show_labels=False, line_width=8).draw(
        Image.new("RGB", (400, 400)), Annotation((100, 100), [person])
    )
    assert image.getpixel((280, 200)) == SIDE_COLORS["left"]
    assert image.getpixel((120, 200)) == SIDE_COLORS["right"]
    assert image.getpixel((360, 320)) == SIDE_COLORS["left"]
    assert image.getpixel((200, 80)) == SIDE_COLORS[None]
    assert image.getpixel((200, 320)) == (0, 0, 0)
