"""Words drawn on images: their outlines hold their pixels, and they touch no other text."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import TextOverlay
from rexkit.errors import DataError
from rexkit.structures import Annotation, Instance, Sample

SIZE = (200, 120)


def sample_of(*instances: Instance, absent: tuple[str, ...] = (), tone: int = 200) -> Sample:
    annotation = Annotation(SIZE, instances, absent)
    return Sample(Image.new("RGB", SIZE, (tone, tone, tone)), annotation, "here:1")


@pytest.mark.parametrize("tone", [30, 220])
def test_letters_are_in_their_outlines_and_stand_out(tone: int) -> None:
    overlay = TextOverlay(1.0, (2, 4), rotation=30)
    for seed in range(4):
        made = overlay(sample_of(absent=("word", "dog"), tone=tone), np.random.default_rng(seed))
        changed = np.abs(np.asarray(made.image, dtype=int).mean(axis=2) - tone)
        assert changed.max() > 100
        left = changed > 2
        assert left.any()
        for word in made.annotation.instances:
            assert 2 <= len(word.text or "") <= 8
            assert word.polygon.shape == (4, 2)
            x0, y0, x1, y1 = word.bbox.astype(int).tolist()
            assert changed[y0 : y1 + 2, x0 : x1 + 2].max() > 100
            left[max(y0 - 1, 0) : y1 + 2, max(x0 - 1, 0) : x1 + 2] = False
        assert not left.any()
        assert made.annotation.absent == ["dog"]


def test_texts_of_the_image_are_not_touched() -> None:
    own = Instance("word", bbox=[20, 20, 120, 100], text="here")
    blurred = Instance("word", bbox=[130, 20, 190, 60], ignore=True)
    overlay = TextOverlay(1.0, (6, 6), font_size=(0.1, 0.2))
    for seed in range(4):
        made = overlay(sample_of(own, blurred), np.random.default_rng(seed))
        assert (np.asarray(made.image)[20:100, 20:120] == 200).all()
        assert (np.asarray(made.image)[20:60, 130:190] == 200).all()
        assert made.annotation.instances[:2] == [own, blurred]


def test_levels_are_all_written_or_the_sample_is_refused() -> None:
    line = Instance("text line", bbox=[20, 20, 60, 40], text="here")
    with pytest.raises(DataError, match=r"here:1: TextOverlay draws \['word'\].* 'text line'"):
        TextOverlay(0.0)(sample_of(line), np.random.default_rng(0))
    both = TextOverlay(1.0, (1, 1), levels=["word", "text line"])
    drawn = both(sample_of(line), np.random.default_rng(0)).annotation.instances[1:]
    assert [i.phrase for i in drawn] == ["word", "text line"]
    with pytest.raises(ValueError, match="levels: expected a list of phrases"):
        TextOverlay(levels="word")


def test_a_sample_without_room_or_luck_is_the_same() -> None:
    small = Sample(Image.new("RGB", (5, 5)), Annotation((5, 5), []), "here:1")
    assert TextOverlay(1.0)(small, np.random.default_rng(0)) is small
    assert TextOverlay(0.0)(sample_of(), np.random.default_rng(0)).annotation.instances == ()
