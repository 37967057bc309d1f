"""Clicks: what hits, what is counted where, and that the order of images changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rexkit_plugin_gui import ClickAccuracy, click

from rexkit import METRICS, REWARDS, Annotation, Instance, Prediction
from rexkit.rewards import build_reward

SIZE = (100, 100)


def box(*xyxy: float, phrase: str = "menu", **fields) -> Instance:
    return Instance(phrase, bbox=np.array(xyxy, dtype=float), **fields)


def point(x: float, y: float, phrase: str = "menu") -> Instance:
    return Instance(phrase, point=np.array([x, y], dtype=float))


def values(*pairs: tuple[list[Instance], list[Instance]]) -> dict[str, float]:
    metric = ClickAccuracy()
    for predictions, targets in pairs:
        metric.add(Prediction(SIZE, predictions), Annotation(SIZE, targets))
    return metric.compute()


TARGET = box(10, 10, 30, 20)


@pytest.mark.parametrize(
    ("predictions", "right"),
    [
        ([point(10, 20)], True),  # edges are inside
        ([point(9.9, 15)], False),
        ([box(0, 0, 40, 30)], True),  # its centre counts, not its overlap
        ([box(10, 10, 30, 40)], False),
        ([box(28, 10, 33, 20)], False),
        ([], False),
        ([Instance("menu")], False),
        ([point(50, 50), point(15, 15)], False),  # the first is clicked
        ([Instance("menu"), point(15, 15), point(50, 50)], True),
        (
            [point(15, 15, "another name")],
            True,
        ),  # of one element, any phrase
    ],
)
def test_what_hits(predictions, right):
    assert values((predictions, [TARGET]))["click_accuracy"] == right
    assert click(Prediction(SIZE, predictions), Annotation(SIZE, [TARGET])) == right


def test_any_of_several_elements_of_one_name_may_be_hit():
    both = [TARGET, box(60, 60, 80, 80)]
    assert values(([point(70, 70)], both)) == {"click_accuracy": 1.0, "clicks": 1.0}


def test_several_names_are_each_sought_under_their_own():
    both = [TARGET, box(60, 60, 80, 80, phrase="close")]
    swapped = [point(15, 15, "close"), point(70, 70, "menu")]
    assert values((swapped, both))["click_accuracy"] == 0.0
    half = [point(15, 15), point(15, 15, "close")]
    assert values((half, both))["click_accuracy"] == 0.5
    assert click(Prediction(SIZE, half), Annotation(SIZE, both)) == 0.5


def test_ignored_elements_count_neither_for_nor_against():
    hidden = box(60, 60, 80, 80, ignore=True)
    assert values(([point(70, 70)], [hidden]))["clicks"] == 0
    assert values(([point(70, 70)], [TARGET, hidden]))["clicks"] == 0
    assert values(([point(50, 50)], [TARGET, hidden])) == {"click_accuracy": 0.0, "clicks": 1.0}


def test_figures_by_platform_and_element_type():
    def element(platform, kind):
        return box(10, 10, 30, 20, extra={"platform": platform, "data_type": kind})

    hit, miss = [point(15, 15)], [point(50, 50)]
    assert values(
        (hit, [element("mobile", "text")]),
        (miss, [element("mobile", "icon")]),
        (hit, [element("web", "icon")]),
        (miss, [TARGET]),
    ) == {
        "click_accuracy": 0.5,
        "click_accuracy/icon": 0.5,
        "click_accuracy/mobile": 0.5,
        "click_accuracy/mobile/icon": 0.0,
        "click_accuracy/mobile/text": 1.0,
        "click_accuracy/text": 1.0,
        "click_accuracy/web": 1.0,
        "click_accuracy/web/icon": 1.0,
        "clicks": 4.0,
    }


def test_nothing_asked_is_nothing_missed():
    assert ClickAccuracy().compute() == {"click_accuracy": 1.0, "clicks": 0.0}


def test_the_reward_sees_claims_in_vain():
    target = Annotation(SIZE, [TARGET], ["close"])
    assert click(Prediction(SIZE, [point(15, 15)], ["close"]), target) == 1.0
    assert click(Prediction(SIZE, [point(15, 15), point(1, 1, "close")]), target) == 0.5
    assert click(Prediction(SIZE), Annotation(SIZE, [], ["close"])) == 1.0
    spelled = [point(15, 15), point(1, 1, "Close.")]
    assert click(Prediction(SIZE, spelled), target) == 0.5
    assert REWARDS.get("click") is click
    assert build_reward(dict(type="click"), "rewards.0") is click


coordinates = st.integers(0, 100).map(float)
elements = st.builds(
    lambda x, y, platform, kind, ignore: box(
        *(x, y, x + 20, y + 20),
        ignore=ignore,
        extra={"platform": platform, "data_type": kind},
    ),
    *(coordinates, coordinates, st.sampled_from(["mobile", "web", None])),
    *(st.sampled_from(["text", "icon", None]), st.booleans()),
)
images = st.lists(
    st.tuples(
        st.lists(st.builds(point, coordinates, coordinates), max_size=2),
        st.lists(elements, max_size=3),
    ),
    max_size=8,
)


@given(images, st.data())
def test_order_and_division_among_processes_change_nothing(pairs, data):
    expected = values(*pairs)
    shuffled = data.draw(st.permutations(pairs))
    cut = data.draw(st.integers(0, len(pairs)))
    first, second = (METRICS.build(dict(type="ClickAccuracy")) for _ in range(2))
    for metric, part in ((first, shuffled[:cut]), (second, shuffled[cut:])):
        for predictions, targets in part:
            metric.add(Prediction(SIZE, predictions), Annotation(SIZE, targets))
    first.merge(second)
    assert first.compute() == expected
    # Every platform's and type's clicks are among all of them.
    assert all(0 <= share <= 1 for name, share in expected.items() if name != "clicks")
