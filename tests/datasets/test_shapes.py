"""Synthetic shapes: repeatable, true to their boxes, and honest about what is absent."""

from __future__ import annotations

import numpy as np
import pytest

from rexkit.datasets.shapes_dataset import COLORS, SHAPES, ShapesDataset


def test_a_sample_depends_on_seed_and_index_alone():
    one, two = ShapesDataset(10, seed=3)[7], ShapesDataset(20, seed=3)[7]
    assert one.image.tobytes() == two.image.tobytes()
    assert one.annotation.to_dict() == two.annotation.to_dict()
    assert (len(ShapesDataset(10)), len(list(ShapesDataset(3)))) == (10, 3)
    assert ShapesDataset(10, seed=4)[7].image.tobytes() != one.image.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_box_is_what_was_painted(shape):
    for i in range(10):
        sample = ShapesDataset(
            10, colors=["black"], shapes=[shape], num_objects=(1, 1), num_absent=(0, 0)
        )[i]
        dark = np.asarray(sample.image).max(axis=2) < 90
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        painted = [columns[0], rows[0], columns[-1], rows[-1]]
        assert np.abs(sample.annotation.instances[0].bbox - painted).max() <= 1.5


def test_objects_do_not_touch_and_lie_inside():
    for i in range(50):
        boxes = ShapesDataset(50, num_objects=(3, 3), image_size=(160, 100))[i].annotation.boxes()
        assert (boxes >= 0).all()
        assert (boxes <= [160, 100, 160, 100]).all()
        for a in range(len(boxes)):
            for b in range(a):
                first, second = boxes[a], boxes[b]
                assert (first[:2] > second[2:]).any() or (second[:2] > first[2:]).any()


@pytest.mark.parametrize("style", ["color", "shape", "color shape"])
def test_absent_phrases_are_absent(style):
    data = ShapesDataset(
        60, colors=list(COLORS), shapes=list(SHAPES), styles=[style], num_absent=(1, 2)
    )
    for i in range(60):
        annotation = data[i].annotation
        present = {instance.phrase for instance in annotation.instances}
        assert not present & set(annotation.absent)
        assert 1 <= len(annotation.absent) <= 2
        assert present | set(annotation.absent) <= set(data.phrases(style))


def test_samples_stay_what_they_were():
    """Models are trained on them: a new option must not change the samples of old ones."""
    annotation = ShapesDataset(3, seed=1, num_objects=(3, 3))[2].annotation
    assert [(i.phrase, i.bbox.tolist()) for i in annotation.instances] == [
        ("yellow triangle", [33, 86, 57, 115]),
        ("green circle", [40, 40, 69, 73]),
        ("yellow circle", [73, 72, 110, 112]),
    ]


def test_repeat_makes_several_of_a_kind():
    def share(repeat):
        data = ShapesDataset(
            200, seed=2, num_objects=(2, 4), object_size=(0.15, 0.3), repeat=repeat
        )
        phrases = [[i.phrase for i in data[n].annotation.instances] for n in range(200)]
        return sum(len(set(found)) < len(found) for found in phrases) / 200

    assert share(0.0) < 0.4
    assert 0.7 < share(0.6) < 0.95
    assert share(1.0) == 1.0


def test_colors_are_distinct():
    values = np.array(list(COLORS.values()), dtype=float)
    gaps = np.abs(values[:, None] - values).sum(2)
    assert gaps[~np.eye(len(values), dtype=bool)].min() > 60


@pytest.mark.parametrize(
    "wrong", [dict(colors=["rde"]), dict(shapes=["cirlce"]), dict(styles=["colour"])]
)
def test_unknown_names_are_errors(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: unknown"):
        ShapesDataset(**wrong)


def test_the_end():
    with pytest.raises(IndexError):
        ShapesDataset(3)[3]
