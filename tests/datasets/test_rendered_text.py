"""Rendered text: repeatable, true to its polygons, and short for the embedded model."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from rexkit.datasets import RenderedTextDataset
from rexkit.datasets.rendered_text_dataset import WORDS
from rexkit.geometry import box_iou, order_polygon, polygon_bounds

BENT = dict(rotation=60, curvature=120, words=None, num_texts=(1, 3))
STYLES = [{}, dict(rotation=60), BENT, dict(BENT, words_per_line=(2, 3), font_size=(0.1, 0.2))]


def ink(sample):
    """Where the letters are: (height, width) from 0 to 1, by the colour of the corner."""
    pixels = np.asarray(sample.image).astype(float)
    apart = np.abs(pixels - pixels[0, 0]).max(axis=2)
    return apart / apart.max()


@pytest.mark.parametrize("style", STYLES)
def test_a_sample_depends_on_seed_and_index_alone(style):
    one, two = (RenderedTextDataset(size, seed=3, **style)[7] for size in (10, 20))
    assert one.image.tobytes() == two.image.tobytes()
    assert one.annotation.to_dict() == two.annotation.to_dict()
    other = RenderedTextDataset(10, seed=4, **style)[7]
    assert other.image.tobytes() != one.image.tobytes()


@pytest.mark.parametrize("style", STYLES)
def test_polygons_hold_the_ink_and_no_more(style):
    for i in range(12):
        sample = RenderedTextDataset(12, seed=1, **style)[i]
        where = np.argwhere(ink(sample) > 0.5)[:, ::-1] + 0.5
        outlines = [shapely.Polygon(i.polygon) for i in sample.annotation.of("word")]
        away = shapely.distance(shapely.points(where)[:, None], np.array(outlines))
        # Between its corners an arc reaches beyond the chords, by a pixel or so.
        assert away.min(axis=1).max() < 1.8
        for instance, inside in zip(sample.annotation.of("word"), (away < 1).T, strict=True):
            polygon = instance.polygon
            assert inside.any()
            if len(polygon) == 4:  # straight: ink reaches all four edges
                for edge in (polygon[1] - polygon[0], polygon[3] - polygon[0]):
                    length = np.hypot(*edge)
                    at = (where[inside] - polygon[0]) @ edge / length
                    assert abs(at.min()) < 1.8
                    assert abs(at.max() - length) < 1.8


@pytest.mark.parametrize("style", STYLES)
def test_texts_lie_inside_and_apart(style):
    for i in range(20):
        sample = RenderedTextDataset(20, seed=6, image_size=(160, 100), **style)[i]
        annotation = sample.annotation
        assert annotation.image_size == sample.image.size == (160, 100)
        level = "text line" if "words_per_line" in style else "word"
        boxes = annotation.boxes(level)
        assert len(boxes) >= 1
        assert (boxes >= 0).all()
        assert (boxes <= [160, 100, 160, 100]).all()
        assert (box_iou(boxes, boxes)[~np.eye(len(boxes), dtype=bool)] == 0).all()
        for instance in annotation.instances:
            assert np.array_equal(instance.bbox, polygon_bounds(instance.polygon))
            assert np.array_equal(instance.polygon, order_polygon(instance.polygon))
            assert len(instance.polygon) in (4, 10)


def test_lines_are_made_of_their_words():
    sample = RenderedTextDataset(9, seed=2, words_per_line=(2, 3), num_texts=(2, 2))[3]
    words, lines = sample.annotation.of("word"), sample.annotation.of("text line")
    assert " ".join(i.text for i in lines).split() == [i.text for i in words]
    for line in lines:
        assert 2 <= len(line.text.split()) <= 3


def test_what_is_written():
    drawn = {i.text for s in RenderedTextDataset(200) for i in s.annotation.instances}
    assert drawn == set(WORDS)
    mine = RenderedTextDataset(20, words=["Hi"], num_texts=(2, 2))
    assert {i.text for s in mine for i in s.annotation.instances} == {"Hi"}
    assert [len(s.annotation.instances) for s in mine].count(2) > 15  # there is room for both
    random = RenderedTextDataset(60, words=None, characters="01", length=(2, 3))
    drawn = {i.text for s in random for i in s.annotation.instances}
    assert {len(text) for text in drawn} == {2, 3}
    assert set("".join(drawn)) == {"0", "1"}


def test_sizes_and_light_vary():
    samples = list(RenderedTextDataset(40, num_texts=(1, 1), words=["moon"]))
    heights = [np.ptp(s.annotation.boxes()[0, [1, 3]]) for s in samples]
    assert max(heights) / min(heights) > 1.2
    light = [np.asarray(s.image)[0, 0].mean() > 128 for s in samples]
    assert 5 < sum(light) < 35


def test_empty_images_are_known_to_be_empty():
    empty = RenderedTextDataset(1, num_texts=(0, 0))[0]
    assert empty.annotation.absent == ["word"]
    assert np.ptp(np.asarray(empty.image), axis=(0, 1)).max() == 0
    lines = RenderedTextDataset(1, num_texts=(0, 0), words_per_line=(1, 2))[0]
    assert lines.annotation.absent == ["word", "text line"]


def test_long_texts_are_drawn_smaller():
    sample = RenderedTextDataset(1, words=["extraordinary"], font_size=(0.5, 0.5))[0]
    assert 60 < np.ptp(sample.annotation.boxes()[0, [0, 2]]) <= 126
    with pytest.raises(ValueError, match=r"words: 'no+' does not fit into an image of 128x128"):
        RenderedTextDataset(1, words=["n" + 200 * "o"])[0]


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="words: an empty list"):
        RenderedTextDataset(words=[])
    with pytest.raises(ValueError, match="words: the font draws nothing for ' '"):
        RenderedTextDataset(1, words=[" "])[0]
    with pytest.raises(OSError, match="resource"):
        RenderedTextDataset(1, fonts=["/no/such/font.ttf"])[0]


def test_another_font():
    import matplotlib

    serif = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSerif.ttf"
    one, other = (RenderedTextDataset(1, fonts=f)[0] for f in ((), (serif,)))
    assert one.image.tobytes() != other.image.tobytes()


def test_the_end():
    with pytest.raises(IndexError):
        RenderedTextDataset(3)[3]


def test_words_are_single_tokens_of_the_embedded_model():
    from rexkit.models.tiny_tokenizer import build_tiny_tokenizer

    tokenizer = build_tiny_tokenizer()
    assert [tokenizer.decode(ids) for ids in tokenizer(list(WORDS)).input_ids] == list(WORDS)
    assert {len(ids) for ids in tokenizer(list(WORDS)).input_ids} == {1}
