"""What the visualiser draws, pixel by pixel."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from PIL import Image

from rexkit.registry import VISUALIZERS
from rexkit.structures import Annotation, Instance, Prediction, Problem
from rexkit.visualizers import PillowVisualizer
from rexkit.visualizers.colors import oklch, parse_color, phrase_color, text_color

SIZE = (64, 48)
GREY = (100, 100, 100)
CUP = phrase_color("cup")
BARE = PillowVisualizer(show_labels=False, line_width=2)


def blank(width=100, height=80):
    return Image.new("RGB", (width, height), GREY)


def drawn(*instances, visualizer=BARE, size=(100, 80)):
    drawn = visualizer.draw(blank(*size), Annotation(size, instances))
    assert drawn.mode == "RGB"
    assert drawn.size == size
    return np.asarray(drawn).astype(int)


def is_color(pixels, color, within=0):
    return (np.abs(pixels - color) <= within).all(axis=-1)


def tinted(color, share=0.25):
    return np.array(GREY) + share * (np.array(color) - GREY)


def xy(*values):
    return np.array(values, dtype=float)


def test_a_text_has_one_colour_whatever_its_phrase():
    corners = xy(20, 10, 60, 10, 60, 50, 20, 50).reshape(-1, 2)
    target, read = (Instance(p, polygon=corners, text="EXIT") for p in ("word", "EXIT"))
    assert np.array_equal(drawn(target), drawn(read))
    assert is_color(drawn(target)[10, 30:50], phrase_color("EXIT")).all()
    red = PillowVisualizer({"word": "red"}, show_labels=False)
    assert is_color(drawn(target, visualizer=red)[10, 30:50], (255, 0, 0)).all()


class TestShapes:
    def test_box(self):
        pixels = drawn(Instance("cup", bbox=xy(20, 10, 60, 50)))
        expected = np.zeros((80, 100), bool)
        expected[10:50, 20:60] = True
        expected[12:48, 22:58] = False
        assert np.array_equal(is_color(pixels, CUP), expected)
        assert is_color(pixels, GREY)[~expected].all()

    def test_box_at_the_border_keeps_its_edges(self):
        pixels = drawn(Instance("cup", bbox=xy(-5, 30, 100, 80)))
        assert is_color(pixels[30:32], CUP).all()
        assert is_color(pixels[30:, [0, 99]], CUP).all()
        assert is_color(pixels[-1], CUP).all()

    def test_polygon_is_outlined_and_lightly_filled(self):
        pixels = drawn(Instance("cup", polygon=xy(10, 10, 90, 10, 90, 70, 10, 70).reshape(4, 2)))
        assert is_color(pixels[20:60, 20:80], tinted(CUP), within=2).all()
        assert is_color(pixels[10, 20:80], CUP).all()
        assert is_color(pixels[:8], GREY).all()

    def test_point_and_keypoints(self):
        instance = Instance("cup", point=xy(20, 20), keypoints={"a": xy(60, 40), "b": None})
        pixels = drawn(instance)
        for x, y in ((20, 20), (60, 40)):
            assert is_color(pixels[y - 1 : y + 1, x - 1 : x + 1], CUP).all()
            assert not is_color(pixels[y, x + 4], GREY)
            assert is_color(pixels[y, x + 8], GREY)
        assert (~is_color(pixels, GREY)).sum() < 200

    def test_mask(self):
        mask = {"size": [80, 100], "counts": [4000, 4000]}  # the right half
        pixels = drawn(Instance("cup", mask=mask))
        assert is_color(pixels[:, :49], GREY).all()
        assert is_color(pixels[:, 51:], tinted(CUP), within=2).all()

    def test_ignored_is_grey(self):
        pixels = drawn(Instance("cup", bbox=xy(20, 10, 60, 50), ignore=True))
        red, green, blue = pixels[10, 30]
        assert red == green == blue != GREY[0]

    def test_scaled_with_the_image(self):
        target = Annotation((200, 160), [Instance("cup", bbox=xy(40, 20, 120, 100))])
        half = np.asarray(BARE.draw(blank(), target)).astype(int)
        assert np.array_equal(half, drawn(Instance("cup", bbox=xy(20, 10, 60, 50))))

    def test_what_is_not_finite_or_outside_is_left_out(self):
        broken = [
            Instance("a", bbox=xy(np.nan, 0, 9, 9)),
            Instance("b", point=xy(np.inf, 0)),
            Instance("c", polygon=xy(0, 0, np.nan, 1, 2, 2).reshape(3, 2)),
            Instance("d"),
            Instance("outside", bbox=xy(120, 10, 150, 40), point=xy(-30, 5)),
        ]
        assert is_color(drawn(*broken, visualizer=PillowVisualizer()), GREY).all()

    def test_lines_grow_with_the_image(self):
        edge = Instance("cup", bbox=xy(100, 100, 3900, 2900))
        plain = PillowVisualizer(show_labels=False)
        drawn = plain.draw(blank(4000, 3000), Annotation((4000, 3000), [edge]))
        assert {drawn.getpixel((2000, y)) for y in range(100, 112)} == {CUP}


class TestReferences:
    def test_white_dashes_along_the_box(self):
        box = Instance("cup", bbox=xy(20, 10, 60, 50), extra={"reference": True})
        pixels, plain = drawn(box), drawn(Instance("cup", bbox=xy(20, 10, 60, 50)))
        white, colored = is_color(pixels, (255, 255, 255)), is_color(pixels, CUP)
        assert np.array_equal(white | colored, is_color(plain, CUP))
        for line in (white[10, 20:60], white[49, 20:60], white[10:50, 20], white[10:50, 59]):
            assert 0.4 < line.mean() < 0.7
        assert white[10, 20:26].all()
        assert not white[10, 26:32].any()
        assert white[10, 32:38].all()

    def test_dashes_stay_in_small_and_cut_boxes(self):
        for corners in ((20, 10, 21, 11), (-9, 30, 120, 90), (99, 79, 100, 80), (5, 5, 5, 5)):
            box = Instance("cup", bbox=xy(*corners), extra={"reference": True})
            plain = drawn(Instance("cup", bbox=xy(*corners)))
            assert np.array_equal(is_color(drawn(box), GREY), is_color(plain, GREY))

    def test_labelled_and_shown_beside_the_truth(self):
        size = (480, 360)
        target = Annotation(
            size, [Instance("cup", bbox=xy(40, 60, 200, 200), extra={"reference": True})]
        )
        nothing = Prediction(size)
        plain = PillowVisualizer(show_labels=False)
        page = np.asarray(plain.side_by_side(blank(*size), target, nothing)).astype(int)
        left, right = np.split(page, [page.shape[1] // 2], axis=1)
        white = [is_color(half, (255, 255, 255)).sum() for half in (left, right)]
        assert white[0] == white[1] > 200
        assert is_color(left, CUP).any()
        assert not is_color(right, CUP).any()
        labelled = PillowVisualizer().draw(blank(*size), target)
        target.instances[0].extra["reference"] = False
        shorter = PillowVisualizer().draw(blank(*size), target)
        above = [is_color(np.asarray(p).astype(int)[:58], GREY) for p in (labelled, shorter)]
        assert (~above[0]).sum() > 1.5 * (~above[1]).sum()


class TestLabels:
    def test_written_or_not(self):
        box = Instance("cup", bbox=xy(20, 30, 60, 70))
        with_label = drawn(box, visualizer=PillowVisualizer(line_width=2))
        assert is_color(with_label[16:29, 22:30], CUP).sum() > 20
        assert is_color(with_label[14:29, 20:60], text_color(CUP), within=60).any()
        assert is_color(drawn(box)[:29], GREY).all()

    def test_transcription_and_score_are_written(self):
        def width(**known):
            box = Instance("w", bbox=xy(0, 40, 5, 45), **known)
            pixels = drawn(box, visualizer=PillowVisualizer(), size=(300, 80))
            return (~is_color(pixels[20:39], GREY)).any(axis=0).sum()

        assert width() < width(score=0.5) < width(text="Genaxis Theatre")

    @pytest.mark.parametrize(
        "corner", [(0, 0, 8, 8), (92, 0, 100, 8), (0, 72, 8, 80), (92, 72, 100, 80)]
    )
    def test_inside_the_image_at_every_corner(self, corner):
        visualizer = PillowVisualizer(font_size=12)
        box = Instance("laptop", bbox=xy(*corner))
        middle = drawn(Instance("laptop", bbox=xy(46, 36, 54, 44)), visualizer=visualizer)
        at_corner = drawn(box, visualizer=visualizer)
        # As much is painted as in the middle: nothing fell off the edge.
        painted = [(~is_color(p, GREY)).sum() for p in (middle, at_corner)]
        assert abs(painted[0] - painted[1]) <= 0.1 * painted[0]

    def test_a_long_text_is_drawn(self):
        drawn(Instance("x" * 6000, bbox=xy(0, 0, 50, 50)), visualizer=PillowVisualizer())

    @pytest.mark.parametrize(
        "phrase", ["我是一个杯子", "שלום", "😀", "a\x00b", "\ud800", "two\nlines", " ", "ﷺ"]
    )
    def test_any_script(self, phrase):
        drawn(Instance(phrase, bbox=xy(20, 30, 60, 70)), visualizer=PillowVisualizer())


class TestColors:
    def test_same_in_every_process(self):
        code = "from rexkit.visualizers.colors import phrase_color as c; print(c('cup'), c('杯'))"
        results = {
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            ).stdout
            for seed in ("1", "2")
        }
        assert results == {f"{CUP} {phrase_color('杯')}\n"}

    def test_differ(self):
        assert len({phrase_color(f"thing {i}") for i in range(200)}) > 150

    def test_palette(self):
        assert phrase_color("cup", {"cup": [1, 2, 3]}) == (1, 2, 3)
        assert phrase_color("dog", {"cup": [1, 2, 3]}) == phrase_color("dog")
        assert phrase_color("dog", ["red"]) == (255, 0, 0)
        assert phrase_color("dog", []) == phrase_color("dog")
        red = PillowVisualizer({"cup": "red"}, show_labels=False)
        pixels = drawn(Instance("cup", bbox=xy(20, 10, 60, 50)), visualizer=red)
        assert is_color(pixels[10, 20:60], (255, 0, 0)).all()

    @pytest.mark.parametrize("color", ["blurple", [1, 2], [0, 0, 256], [0.5, 0.5, 0.5]])
    def test_no_color(self, color):
        with pytest.raises(ValueError, match=r"colou?r"):
            parse_color(color)

    def test_text_can_be_read(self):
        """The WCAG asks for a contrast of 4.5."""

        def luminance(color):
            share = np.array(color) / 255
            linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
            return linear @ [0.2126, 0.7152, 0.0722]

        for color in [phrase_color(f"thing {i}") for i in range(100)] + [
            (0, 0, 0),
            (127, 127, 127),
        ]:
            dark, light = sorted([luminance(color), luminance(text_color(color))])
            assert (light + 0.05) / (dark + 0.05) >= 4.5

    def test_oklab(self):
        assert oklch(0, 0, 0) == (0, 0, 0)
        assert oklch(0.6279554, 0.2576833, 29.2338847) == (255, 0, 0)  # red, by Ottosson's table


class TestImages:
    def test_input_is_not_changed(self):
        image = blank()
        before = image.tobytes()
        target = Annotation(image.size, [Instance("cup", bbox=xy(20, 10, 60, 50))], ["dog"])
        visualizer = PillowVisualizer(show_absent=True)
        assert visualizer.draw(image, target) is not image
        visualizer.side_by_side(image, target, Prediction(image.size))
        assert image.tobytes() == before
        assert PillowVisualizer().draw(image, Annotation(image.size)).tobytes() == before

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
    def test_other_modes(self, mode):
        target = Annotation((30, 30), [Instance("cup", bbox=xy(2, 2, 20, 20))])
        assert PillowVisualizer().draw(Image.new(mode, (30, 30)), target).mode == "RGB"

    def test_absent_strip(self):
        target = Annotation((300, 80), [], ["dog", "cat"])
        drawn = PillowVisualizer(show_absent=True).draw(blank(300), target)
        assert drawn.width == 300
        assert 90 < drawn.height < 130
        strip = np.asarray(drawn.convert("L"))[80:]
        assert (strip < 80).any()
        assert PillowVisualizer().draw(blank(300), target).size == (300, 80)

    def test_side_by_side(self):
        pink = (200, 40, 90)
        size = (600, 400)
        target = Annotation(size, [Instance("cup", bbox=xy(100, 100, 300, 300))])
        prediction = Prediction(size, [], ["cup"], [Problem("x", 0, "y")])
        page = PillowVisualizer(show_labels=False).side_by_side(
            *(Image.new("RGB", size, pink), target, prediction),
            prompt="Detect cup.",
            text="<|object_ref_start|>" * 99,
        )
        pixels = np.asarray(page).astype(int)
        background, cup = is_color(pixels, pink), is_color(pixels, CUP)
        rows, columns = np.nonzero(background)
        assert columns.max() - columns.min() > 1200
        second = columns.min() + 606  # between the two images
        assert cup[:, :second].sum() == 600 * 400 - background[:, :second].sum() > 1500
        assert background[:, second:].sum() == 600 * 400
        assert not cup[:, second:].any()
        assert rows.min() > 50  # the prompt and captions above
        assert page.height - rows.max() > 80  # the response below

    def test_side_by_side_sizes(self):
        def size(*given):
            return (
                PillowVisualizer()
                .side_by_side(blank(*given), Annotation(given), Prediction(given))
                .size
            )

        assert size(112, 112)[0] > 960
        assert size(4000, 3000)[0] < 2100
        wide = size(2000, 500)
        assert wide[0] < 1100
        assert wide[1] > 512

    @pytest.mark.parametrize("size", [(1, 1), (2, 3), (20_000, 20), (20, 20_000)])
    def test_strange_sizes(self, size):
        width, height = size
        found = [
            Instance("a", bbox=xy(0, 0, width, height)),
            Instance("b", point=xy(width, height)),
            Instance("c", polygon=xy(0, 0, width, 0, width, height).reshape(3, 2)),
            Instance("d", polygon=xy(-1e12, 0, 1e12, 0, 1e300, 9).reshape(3, 2)),
        ]
        prediction = Prediction(size, found, ["dog"])
        visualizer = PillowVisualizer(show_absent=True)
        assert visualizer.draw(blank(*size), prediction).width >= width
        visualizer.side_by_side(blank(*size), prediction, prediction, "prompt", "text")
        assert not is_color(drawn(*found, size=size), GREY).all()

    @settings(max_examples=30)
    @given(annotations(SIZE))
    def test_whatever_an_annotation_holds(self, annotation):
        visualizer = PillowVisualizer(show_absent=True)
        assert visualizer.draw(blank(*SIZE), annotation).height >= SIZE[1]

    def test_registered(self):
        config = {"type": "PillowVisualizer", "palette": {"cup": "#ff0000"}, "show_labels": False}
        assert isinstance(VISUALIZERS.build(config), PillowVisualizer)

    def test_real_answer(self, shared_data):
        """An image with thirty things in it: every box is where it should be."""
        image = Image.open(shared_data / "rexomni_outputs" / "images" / "cafe.jpg").convert("RGB")
        boxes = [
            xy(x, y, x + 90, y + 70) for x in range(10, 1300, 220) for y in range(10, 700, 150)
        ]
        found = [Instance("cup", bbox=b) for b in boxes]
        pixels = np.asarray(BARE.draw(image, Annotation(image.size, found))).astype(int)
        for x0, y0, x1, y1 in np.array(boxes, dtype=int):
            assert is_color(pixels[y0, x0:x1], CUP).all()
            assert is_color(pixels[y0:y1, x1 - 1], CUP).all()


@pytest.mark.parametrize("palette", [["octarine"], {"cup": "#12"}, [(1, 2)]])
def test_a_palette_is_checked_when_the_visualizer_is_built(palette):
    with pytest.raises(ValueError, match=r"octarine|#12|three numbers"):
        PillowVisualizer(palette=palette)
