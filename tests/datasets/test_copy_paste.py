"""Pasted instances: pixels, masks and boxes agree, and what they hide is not asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.datasets import CopyPaste
from rexkit.datasets.transforms.occlusion import Cover, cover_annotation
from rexkit.errors import DataError
from rexkit.run_lengths import decode_mask, encode_mask
from rexkit.structures import Annotation, Instance, Sample

SIZE = (64, 48)


def sample_of(
    annotation: Annotation, color: tuple[int, int, int], source: str = "here:1"
) -> Sample:
    return Sample(Image.new("RGB", annotation.image_size, color), annotation, source)


def disc(phrase: str = "cup") -> Instance:
    x, y = np.meshgrid(np.arange(40), np.arange(30))
    return Instance(
        phrase, bbox=[11, 6, 30, 25], mask=encode_mask((x - 20) ** 2 + (y - 15) ** 2 < 90)
    )


def paste(own: Annotation, other: Annotation, seed: int = 0, **arguments: Any) -> Sample:
    return CopyPaste(1.0, **arguments).combine(
        sample_of(own, (0, 0, 0)),
        np.random.default_rng(seed),
        lambda: sample_of(other, (255, 255, 255), "there:2"),
    )


def test_pixels_mask_and_box_of_what_is_pasted_agree() -> None:
    own = Annotation(SIZE, [Instance("dog", bbox=[0, 0, 64, 48])], ["Cup", "owl"])
    other = Annotation((40, 30), [disc()])
    for seed in range(5):
        made = paste(own, other, seed, scale=(0.5, 3.0))
        dog, cup = made.annotation.instances
        white = np.asarray(made.image)[..., 0] > 127
        assert np.array_equal(decode_mask(cup.mask), white)
        row, column = np.nonzero(white)
        around = [column.min(), row.min(), column.max() + 1, row.max() + 1]
        assert np.abs(cup.bbox - around).max() <= 1.5
        assert made.source == "here:1 + there:2"
        assert made.annotation.absent == ["owl"]
        assert dog.phrase == "dog"


def test_only_outlines_are_pasted_and_rectangles_where_asked() -> None:
    own = Annotation(SIZE, [])
    boxed = Annotation((40, 30), [Instance("dog", bbox=[5, 5, 20, 20])])
    assert paste(own, boxed).annotation is own
    (dog,) = paste(own, boxed, rectangles=True, scale=(1, 1)).annotation.instances
    assert (dog.bbox[2:] - dog.bbox[:2]).tolist() == pytest.approx([15, 15])
    crowd = Annotation((40, 30), [Instance("dog", bbox=[5, 5, 20, 20], ignore=True)])
    assert paste(own, crowd, rectangles=True).annotation is own


def test_a_phrase_that_is_not_known_in_the_image_is_pasted_where_all_are() -> None:
    other = Annotation((40, 30), [disc()])
    unknown, known = Annotation(SIZE, []), Annotation(SIZE, [], ["cup"])
    assert paste(unknown, other, exhaustive=False).annotation is unknown
    assert paste(unknown, other).annotation.phrases == ["cup"]
    assert paste(known, other, exhaustive=False).annotation.absent == []


def test_places_are_refused() -> None:
    with pytest.raises(DataError, match=r"there:2: CopyPaste combines .* 'left cup'"):
        paste(Annotation(SIZE, []), Annotation((40, 30), [disc("left cup")]))


def test_what_is_hidden_is_cut_ignored_or_left_out() -> None:
    pixels = np.zeros((48, 64), dtype=np.bool_)
    pixels[10:20, 10:30] = True
    square = [[10, 10], [30, 10], [30, 20], [10, 20]]
    found = [
        Instance("mask", bbox=[10, 10, 30, 20], mask=encode_mask(pixels), extra={"area": 200}),
        Instance("polygon", bbox=[10, 10, 30, 20], polygon=square),
        Instance("box", bbox=[10, 10, 30, 20]),
        Instance("word", bbox=[15, 10, 25, 20], text="EXIT"),
        Instance("mostly", bbox=[0, 0, 21, 20]),
        Instance("gone", bbox=[2, 2, 9, 9]),
        Instance("pin", point=[5, 5]),
        Instance("free", bbox=[30, 30, 40, 40]),
        Instance("man", bbox=[0, 0, 60, 40], keypoints={"nose": [5, 5], "eye": [30, 30]}),
    ]
    cover = Cover(np.ones((20, 20), dtype=np.bool_), (0, 0))
    seen = {i.phrase: i for i in cover_annotation(Annotation(SIZE, found), cover, 0.5).instances}
    for kind in ("mask", "polygon", "box"):
        assert seen[kind].bbox.tolist() == [20, 10, 30, 20]
        assert not seen[kind].ignore
    for kind in ("mask", "polygon"):
        assert decode_mask(seen[kind].mask).sum() == 100
    assert seen["mask"].extra["area"] == 100
    assert seen["polygon"].polygon is None
    assert [seen[kind].ignore for kind in ("word", "mostly", "pin", "free")] == [1, 1, 1, 0]
    assert "gone" not in seen
    assert seen["man"].keypoints["nose"] is None
    assert seen["man"].keypoints["eye"].tolist() == [30, 30]


@settings(max_examples=15, deadline=None)
@given(annotations(size=SIZE), annotations(size=(40, 30)), st.integers(0, 99))
def test_nothing_leaves_the_image_and_samples_are_not_changed(
    own: Annotation, other: Annotation, seed: int
) -> None:
    before = plain(own), plain(other)
    arguments = {"rectangles": True, "phrases": "keep", "scale": (0.2, 4.0)}
    made = paste(own, other, seed, **arguments)
    assert (plain(own), plain(other)) == before
    assert plain(paste(own, other, seed, **arguments).annotation) == plain(made.annotation)
    for i in made.annotation.instances:
        points = [i.point, i.polygon, None if i.bbox is None else i.bbox.reshape(2, 2)]
        for xy in [*points, *(i.keypoints or {}).values()]:
            assert xy is None or ((xy >= -1e-9) & (xy <= np.add(SIZE, 1e-9))).all()
        assert i.mask is None or decode_mask(i.mask).shape == SIZE[::-1]
    assert not {*made.annotation.absent} & {i.phrase for i in made.annotation.instances}
