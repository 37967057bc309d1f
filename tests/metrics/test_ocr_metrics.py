"""OCR metrics by hand, against the protocol, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.edit_distance import edit_distance
from rexkit.geometry import box_corners, polygon_coverage
from rexkit.metrics import OCRHmean
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (100, 100)


def word(text, x0, y0, x1, y1, **known):
    return Instance("word", bbox=np.array([x0, y0, x1, y1], dtype=float), text=text, **known)


def quad(text, *corners, **known):
    return Instance("word", polygon=np.reshape(corners, (-1, 2)).astype(float), text=text, **known)


def score(*pairs, geometry="bbox"):
    metric = OCRHmean(geometry)
    for predictions, targets in pairs:
        metric.add(Prediction(SIZE, predictions), Annotation(SIZE, targets))
    return metric.compute()


TARGETS = [word("EXIT", 0, 0, 40, 10), word("Café", 0, 20, 40, 30), word("12:30", 0, 40, 40, 50)]


class TestByHand:
    def test_all_values(self):
        predictions = [
            word("exit", 0, 0, 40, 9),  # found, the wrong case
            word("Café ", 0, 20, 40, 31),  # found, right
            word("12:30", 0, 60, 40, 70),  # right text, wrong place
            word("x", 60, 60, 70, 70),
        ]
        values = score((predictions, TARGETS))
        assert values == pytest.approx(
            {
                "precision": 2 / 4,
                "recall": 2 / 3,
                "hmean": 4 / 7,
                "e2e_precision": 1 / 4,
                "e2e_recall": 1 / 3,
                "e2e_hmean": 2 / 7,
                "e2e_hmean_ci": 4 / 7,
                "word_accuracy": 1 / 2,
                "word_accuracy_ci": 1.0,
                "1-ned_matched": (0 + 1) / 2,
                "1-ned": (0 + 1) / 5,  # two pairs, one missed, two false
            }
        )

    def test_near_misses_in_reading(self):
        predictions = [
            word("EXIIT", 0, 0, 40, 10),
            word("Cafe", 0, 20, 40, 30),
            word(None, 0, 40, 40, 50),
        ]
        values = score((predictions, TARGETS))
        assert values["hmean"] == 1.0
        assert values["word_accuracy"] == 0.0
        assert values["1-ned"] == values["1-ned_matched"] == pytest.approx((4 / 5 + 3 / 4 + 0) / 3)

    def test_an_iou_of_one_half_is_not_a_match(self):
        targets = [word("a", 0, 0, 10, 10)]
        assert score(([word("a", 0, 0, 10, 5)], targets))["hmean"] == 0.0
        assert score(([word("a", 0, 0, 10, 5.01)], targets))["hmean"] == 1.0

    def test_ignored_regions(self):
        region = word("###", 0, 0, 50, 50, ignore=True)
        inside, half_out, outside = (
            word("a", 10, 10, 20, 20),
            word("a", 45, 0, 55, 10),
            word("a", 46, 0, 56, 10),
        )
        assert set(score(([inside], [region])).values()) == {1.0}
        assert set(score(([], [region])).values()) == {1.0}
        assert score(([half_out], [region]))["hmean"] == 0.0  # not more than half
        assert score(([outside], [region]))["precision"] == 0.0
        # By the protocol, a prediction in a region is never matched.
        assert score(([inside], [region, inside]))["recall"] == 0.0

    def test_polygons_are_compared_as_polygons(self):
        targets = [quad("a", 0, 0, 40, 40, 36, 44, -4, 4)]
        assert score((targets, targets), geometry="polygon")["e2e_hmean"] == 1.0
        around = [word("a", -4, 0, 40, 44)]
        assert score((around, targets), geometry="polygon")["hmean"] == 0.0
        assert score((around, targets), geometry="bbox")["hmean"] == 1.0
        assert score(([quad("a", 0, 0, 9, 0, 9, 9, 0, 9)], [word("a", 0, 0, 9, 9)]))["hmean"] == 1.0

    def test_phrases_are_not_compared(self):
        prediction = Instance("EXIT", bbox=TARGETS[0].bbox, text="EXIT")
        assert score(([prediction], TARGETS[:1]))["e2e_hmean"] == 1.0
        unread = Instance("EXIT", bbox=TARGETS[0].bbox)
        assert score(([unread], TARGETS[:1]))["e2e_hmean"] == 0.0

    def test_nothing(self):
        assert set(score(([], [])).values()) == {1.0}
        assert set(OCRHmean().compute().values()) == {1.0}
        assert set(score(([], TARGETS)).values()) == {0.0}
        assert set(score((TARGETS, [])).values()) == {0.0}
        point = Instance("word", point=np.zeros(2), text="a")
        assert set(score(([point], [])).values()) == {1.0}

    def test_wrong_geometry(self):
        with pytest.raises(ValueError, match="got 'box'"):
            OCRHmean("box")


def protocol(pairs):
    """ICDAR 2015, challenge 4, step by step with shapely: hmean, and end to end ignoring case.

    As in the organisers' scripts, predictions in ignored regions are removed, then targets and
    predictions are visited in order, and the first free pair with an IoU above 0.5 is matched.
    """
    found, read, predicted, required = 0, 0, 0, 0
    for predictions, targets in pairs:
        outlines = [shapely.Polygon(i.polygon) for i in predictions]
        regions = [shapely.Polygon(i.polygon) for i in targets if i.ignore]
        free = {
            n
            for n, one in enumerate(outlines)
            if not any(one.intersection(region).area / one.area > 0.5 for region in regions)
        }
        cared = [i for i in targets if not i.ignore]
        predicted, required = predicted + len(free), required + len(cared)
        for target in cared:
            outline = shapely.Polygon(target.polygon)
            for n in sorted(free):
                union = outlines[n].union(outline).area
                if outlines[n].intersection(outline).area / union > 0.5:
                    free.discard(n)
                    found += 1
                    read += predictions[n].text.upper() == target.text.upper()
                    break
    return [2 * x / max(predicted + required, 1) for x in (found, read)]


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_against_the_protocol(seed):
    rng = np.random.default_rng(seed)

    def near(polygon, by):
        return polygon + rng.normal(0, by, polygon.shape)

    pairs = []
    for _ in range(3):
        targets = []
        for x in range(0, 90, 30):
            for y in range(0, 90, 15):
                corners = near(box_corners([x, y, x + 24, y + 10]), 1.0)
                text = rng.choice(["EXIT", "exit", "cup", "42"])
                targets.append(quad(text, corners, ignore=bool(rng.random() < 0.3)))
        predictions = [
            quad(
                i.text if rng.random() < 0.6 else "Cup", near(i.polygon, 1.0) + rng.normal(0, 3, 2)
            )
            for i in targets
            if rng.random() < 0.8
        ]
        pairs.append((predictions, targets))
    values = score(*pairs, geometry="polygon")
    expected = protocol(pairs)
    assert [values["hmean"], values["e2e_hmean_ci"]] == pytest.approx(expected, abs=1e-6)


@given(st.permutations(range(6)), st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_results_do_not_depend_on_order_or_division(order, cut):
    rng = np.random.default_rng(0)
    texts = ["EXIT", "exit", "café", "abcdefg", "x"]
    images = []
    for _ in order:
        targets = [word(str(rng.choice(texts)), 0, 12 * i, 40, 12 * i + 10) for i in range(4)]
        predictions = [word(str(rng.choice(texts)), 0, 12 * i, 40, 12 * i + 9) for i in range(1, 5)]
        images.append((Prediction(SIZE, predictions), Annotation(SIZE, targets)))
    whole = OCRHmean("bbox")
    for pair in images:
        whole.add(*pair)
    first, second = OCRHmean("bbox"), OCRHmean("bbox")
    for n, i in enumerate(order):
        (first if n < cut else second).add(*images[i])
    first.merge(second)
    assert first.compute() == whole.compute()
    assert 0 < whole.compute()["1-ned"] < 1


def test_state_is_saved_without_pickle(tmp_path):
    metric = OCRHmean("bbox")
    metric.add(Prediction(SIZE, TARGETS[:2]), Annotation(SIZE, TARGETS))
    np.savez(tmp_path / "state.npz", **metric.state())
    other = OCRHmean("bbox")
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        other.absorb(dict(state))
    assert other.compute() == metric.compute()


@given(st.text("abc", max_size=70), st.text("abc", max_size=70))
def test_edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        above, row = row, [i]
        for j, other in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    assert edit_distance(a, b) == row[-1]


def test_polygon_coverage():
    square = box_corners([0, 0, 10, 10])
    parts = [box_corners([0, 0, 100, 5]), box_corners([20, 0, 30, 10]), square[:3]]
    assert polygon_coverage([square], parts).tolist() == [[0.5, 0.0, 0.5]]
    assert polygon_coverage([np.zeros((3, 2))], [square]).tolist() == [[0.0]]
    assert polygon_coverage([], [square]).shape == (0, 1)
