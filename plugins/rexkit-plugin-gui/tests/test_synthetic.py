"""Synthetic screenshots: repeatable, words that name one element, boxes around what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from rexkit_plugin_gui.synthetic import KINDS, SyntheticScreenshotDataset

from rexkit.geometry import box_iou


def test_a_sample_depends_on_seed_and_index_alone():
    first, again = (SyntheticScreenshotDataset(5, seed=3)[2] for _ in range(2))
    other = SyntheticScreenshotDataset(5, seed=4)[2]
    assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert first.annotation.to_dict() == again.annotation.to_dict()


@pytest.mark.parametrize("words", ["look", "label"])
def test_words_name_one_element_and_absent_ones_none(words):
    dataset = SyntheticScreenshotDataset(60, words=[words], num_elements=(2, 4))
    kinds, platforms, types = set(), set(), set()
    for sample in dataset:
        named = [i.phrase for i in sample.annotation.instances]
        assert len(set(named)) == len(named) >= 1
        assert not set(named) & set(sample.annotation.absent)
        assert set(named) | set(sample.annotation.absent) <= set(dataset.phrases(words))
        overlaps = box_iou(sample.annotation.boxes(), sample.annotation.boxes())
        assert np.array_equal(overlaps, np.eye(len(named)))
        kinds |= {name.split()[-1] for name in named}
        platforms |= {i.extra["platform"] for i in sample.annotation.instances}
        types |= {i.extra["data_type"] for i in sample.annotation.instances}
    assert kinds == set(KINDS)
    assert platforms == {"mobile", "desktop", "web"}
    assert types == {"text", "icon"}


def test_boxes_enclose_what_is_drawn_to_the_pixel():
    for sample in SyntheticScreenshotDataset(20, seed=5, num_elements=(1, 1), colors=["red"]):
        (box,) = sample.annotation.boxes()
        pixels = np.asarray(sample.image, dtype=int)
        rows, columns = np.nonzero(pixels[..., 0] - pixels[..., 1] > 100)
        assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box.tolist()


def test_larger_screens_and_wrong_names():
    sample = SyntheticScreenshotDataset(1, image_size=(390, 844))[0]
    assert sample.image.size == (390, 844)
    assert np.ptp(sample.annotation.boxes()[0][[0, 2]]) > 50
    with pytest.raises(ValueError, match="unknown 'rde'"):
        SyntheticScreenshotDataset(colors=["rde"])
    with pytest.raises(ValueError, match="too small"):
        SyntheticScreenshotDataset(image_size=(64, 128))
    with pytest.raises(IndexError):
        SyntheticScreenshotDataset(1)[1]
