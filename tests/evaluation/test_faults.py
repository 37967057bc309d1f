"""Faults: one case for each kind, and what a prediction without faults is."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_builders import box, point
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit import grammar
from rexkit.evaluation.faults import FAULT_KINDS, LOSING_PROBLEMS, find_faults
from rexkit.grammar.tokens import BOX_END, BOX_START, OBJECT_REF_END, OBJECT_REF_START
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (999, 999)  # so that a bin is a pixel


def span(phrase: str, geometry: str) -> str:
    return f"{OBJECT_REF_START}{phrase}{OBJECT_REF_END}{BOX_START}{geometry}{BOX_END}"


def faults(
    predicted, targets=(), absent=(), phrases=("cup", "dog"), **options
) -> list[tuple[str, str]]:
    """Kind and phrase of each fault of a text, or of instances beside None for the rest."""
    if isinstance(predicted, str):
        prediction = grammar.read(predicted, SIZE)
    else:
        rest = [p for p in phrases if p not in {i.phrase for i in predicted}]
        prediction = Prediction(SIZE, predicted, rest)
    target = Annotation(SIZE, targets, absent)
    return [(f.kind, f.phrase) for f in find_faults(prediction, target, phrases, **options)]


CUP, DOG = box("cup", 100, 100, 200, 200), box("dog", 500, 500, 700, 700)


def test_the_ground_truth_has_no_fault():
    assert faults([CUP, DOG], [CUP, DOG]) == []
    assert faults([], absent=["cup", "dog"]) == []
    text = f"{span('cup', '<100><100><200><200>')}, {span('dog', 'None')}"
    assert faults(text, [CUP], ["dog"]) == []


def test_unparseable_once_for_each_loss_with_its_place():
    text = span("cup", "<100><100><200>") + ", " + span("dog", "<500><500><700><1700>")
    found = find_faults(grammar.read(text, SIZE), Annotation(SIZE, [], []), ["cup", "dog"])
    lost = [f for f in found if f.kind == "unparseable"]
    assert [text[f.offset :].split("><")[0] for f in lost if "odd" in f.detail or "out" in f.detail]
    assert {p.kind for p in grammar.read(text, SIZE).problems} & LOSING_PROBLEMS
    assert faults("", absent=["cup"], phrases=["cup"]) == [
        ("unparseable", ""),
        ("not_answered", "cup"),
    ]


def test_a_repaired_text_is_no_fault():
    text = span("cup", "<200><200><100><100>")  # corners inverted
    assert grammar.read(text, SIZE).problems
    assert faults(text, [CUP], phrases=["cup"]) == []


def test_truncated_at_the_token_limit_is_one_fault_and_not_two():
    text = span("cup", "<100><100><200><200>,<1")[: -len(BOX_END)]
    assert faults(text, [CUP], phrases=["cup"], truncated=True) == [("truncated", "")]
    assert faults(text, [CUP], phrases=["cup"]) == [("unparseable", "")]
    found = find_faults(grammar.read(text, SIZE), Annotation(SIZE, [CUP]), ["cup"], truncated=True)
    assert found[0].offset == len(text)


def test_a_phrase_that_was_not_asked_for():
    assert faults([CUP, box("cat", 10, 10, 20, 20)], [CUP], phrases=["cup"]) == [
        ("not_asked", "cat")
    ]
    text = span("cat", "None") + ", " + span("cup", "<100><100><200><200>")
    assert faults(text, [CUP], phrases=["cup"]) == [("not_asked", "cat")]


def test_a_phrase_that_is_not_in_the_response():
    text = span("cup", "<100><100><200><200>")
    assert faults(text, [CUP], ["dog"]) == [("not_answered", "dog")]
    assert faults(text, [CUP, DOG]) == [("not_answered", "dog"), ("missed", "dog")]


COPIES = [CUP, box("cup", 100, 100, 200, 180), box("cup", 95, 95, 200, 200)]


@pytest.mark.parametrize("copy", COPIES)
def test_duplicates(copy):
    assert faults([CUP, copy, copy], [CUP], phrases=["cup"]) == [("duplicate", "cup")] * 2


def test_a_repeated_wrong_box_is_wrong_once_and_then_a_duplicate():
    stray = box("cup", 800, 800, 900, 900)
    assert sorted(faults([CUP, stray, stray, stray], [CUP], phrases=["cup"])) == [
        ("duplicate", "cup"),
        ("duplicate", "cup"),
        ("spurious", "cup"),
    ]


def test_wrong_place():
    shifted = box("cup", 150, 100, 250, 200)  # IoU 1/3
    assert faults([shifted], [CUP], phrases=["cup"]) == [("wrong_place", "cup")]
    assert faults([shifted], [CUP], phrases=["cup"], iou=0.3) == []
    # Where the object is found already, a box near it is no attempt at it.
    assert faults([CUP, shifted], [CUP], phrases=["cup"]) == [("spurious", "cup")]


def test_wrong_phrase():
    assert faults([box("cup", 500, 500, 700, 700)], [DOG]) == [("wrong_phrase", "cup")]
    swapped = [box("dog", *CUP.bbox), box("cup", *DOG.bbox)]
    assert faults(swapped, [CUP, DOG]) == [("wrong_phrase", "dog"), ("wrong_phrase", "cup")]


def test_missed_and_spurious():
    assert faults([box("cup", 800, 800, 900, 900)], [CUP], phrases=["cup"]) == [
        ("spurious", "cup"),
        ("missed", "cup"),
    ]
    assert faults([], [CUP, CUP], phrases=["cup"]) == [("missed", "cup")] * 2


def test_hallucinated_on_a_negative():
    stray = box("dog", 1, 1, 50, 50)
    assert faults([CUP, stray], [CUP], ["dog"]) == [("hallucinated", "dog")]
    assert faults([box("dog", *CUP.bbox), CUP], [CUP], ["dog"]) == [("hallucinated", "dog")]


def test_ignored_regions_excuse():
    crowd = box("cup", 500, 500, 900, 900, ignore=True)
    inside = box("cup", 600, 600, 700, 700)
    assert faults([CUP, inside], [CUP, crowd], phrases=["cup"]) == []
    assert faults([CUP, point("cup", 600, 600)], [CUP, crowd], phrases=["cup"]) == []
    assert faults([CUP, box("dog", 600, 600, 700, 700)], [CUP, crowd]) == [("spurious", "dog")]
    assert faults([], [crowd], phrases=["cup"]) == []  # and are never missed


def test_points():
    assert faults([point("cup", 150, 150)], [CUP], phrases=["cup"]) == []
    assert faults([point("cup", 150, 150), point("cup", 110, 110)], [CUP], phrases=["cup"]) == [
        ("duplicate", "cup")
    ]
    assert faults([point("cup", 230, 150)], [CUP], phrases=["cup"]) == [("wrong_place", "cup")]
    assert faults([point("cup", 600, 600)], [DOG]) == [("wrong_phrase", "cup")]
    assert faults([point("cup", 900, 100)], [CUP], phrases=["cup"]) == [
        ("spurious", "cup"),
        ("missed", "cup"),
    ]
    assert faults([point("cup", 905, 100)], [point("cup", 900, 100)], phrases=["cup"]) == []


def test_points_on_the_most_exact_region_there_is():
    triangle = box("cup", 100, 100, 300, 300)
    triangle.polygon = np.array([[100.0, 100], [300, 100], [100, 300]])
    assert faults([point("cup", 150, 150)], [triangle], phrases=["cup"]) == []
    assert faults([point("cup", 290, 290)], [triangle], phrases=["cup"]) == [("wrong_place", "cup")]


def test_polygons_by_their_own_overlap():
    lower = Instance("cup", polygon=np.array([[0.0, 0], [400, 0], [0, 400]]))
    upper = Instance("cup", polygon=np.array([[400.0, 400], [400, 0], [0, 400]]))
    assert faults([lower], [lower], phrases=["cup"]) == []
    # One box around both, yet they share nothing.
    assert faults([upper], [lower], phrases=["cup"]) == [("spurious", "cup"), ("missed", "cup")]


def test_keypoints_by_their_boxes():
    person = box("cup", 100, 100, 200, 200, keypoints={"nose": np.array([150.0, 120]), "ear": None})
    bare = Instance(
        "cup", keypoints={"nose": np.array([110.0, 110]), "ear": np.array([190.0, 190])}
    )
    assert faults([person], [CUP], phrases=["cup"]) == []
    assert faults([bare], [CUP], phrases=["cup"]) == []


numbers = st.integers(0, 999)
boxes = st.builds(
    lambda phrase, x, y, w, h: box(phrase, x, y, x + w, y + h),
    st.sampled_from(["cup", "dog", "cat"]),
    numbers,
    numbers,
    st.integers(1, 200),
    st.integers(1, 200),
)


@settings(deadline=None)
@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6), st.booleans())
def test_an_instance_has_at_most_one_fault(predictions, targets, truncated):
    targets = [i for i in targets if i.phrase != "cat"]
    absent = [p for p in ("cup", "dog") if p not in {i.phrase for i in targets}]
    found = faults(predictions, targets, absent, truncated=truncated)
    kinds = [kind for kind, _ in found]
    assert set(kinds) <= set(FAULT_KINDS)
    levels = ("unparseable", "truncated", "not_asked", "not_answered", "missed")
    assert sum(kind not in levels for kind in kinds) <= len(predictions)
    assert kinds.count("missed") <= len(targets)
    if not targets:
        asked = [i.phrase for i in predictions if i.phrase in ("cup", "dog")]
        assert kinds.count("hallucinated") == len(asked)
