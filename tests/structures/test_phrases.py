"""Phrases in another spelling, in every metric and reward that compares phrases."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from annotation_builders import box, gt, point, pred, score
from hypothesis import given
from hypothesis import strategies as st

from rexkit import metrics
from rexkit.evaluation.faults import find_faults
from rexkit.phrases import as_asked, asked_spellings, normalise_phrase
from rexkit.rewards import build_reward
from rexkit.structures import Annotation, Instance, Prediction

SAME = [
    *("traffic light", "Traffic Light", "traffic_light", "traffic-light", " traffic  light. "),
    *("TRAFFICLIGHT", "'traffic light'", "traffic\tlight"),
]
OTHER = ["traffic lights", "light traffic", "traffic light 2", "traffic light+"]


@pytest.mark.parametrize("spelling", SAME)
def test_case_blanks_underscores_and_punctuation_do_not_matter(spelling):
    assert normalise_phrase(spelling) == "trafficlight"


@pytest.mark.parametrize("other", OTHER)
def test_other_words_digits_and_symbols_do(other):
    assert normalise_phrase(other) != normalise_phrase(SAME[0])


def test_scripts():
    assert normalise_phrase("Cafe\u0301") == normalise_phrase("CAF\u00c9") == "caf\u00e9"
    assert normalise_phrase("STRASSE") == normalise_phrase("stra\u00dfe")
    # Vowel signs are no letters, but they make words.
    assert normalise_phrase("\u0915\u093f") != normalise_phrase("\u0915\u093e")
    assert normalise_phrase("?!") == "?!"


@given(st.text())
def test_normal_forms_are_stable_and_empty_for_nothing_else(text):
    normal = normalise_phrase(text)
    assert bool(normal) == bool(text)
    assert normalise_phrase(normal) == normal
    assert normalise_phrase(unicodedata.normalize("NFD", text)) == normal or normal == text


def test_what_was_asked_letter_by_letter_comes_first():
    asked = ["C", "c", "dog"]
    assert asked_spellings(["c", "C.", "DOG"], asked) == {"c": "c", "C.": "C.", "DOG": "dog"}
    assert asked_spellings(["a mug"], ["cup"], ignore_single=False) == {"a mug": "a mug"}
    assert asked_spellings(["cup"], []) == {"cup": "cup"}


def test_a_prediction_that_needs_no_change_is_returned_itself():
    prediction = pred(box("cup", 0, 0, 9, 9), absent=["dog"])
    assert as_asked(prediction, ["dog", "cup"]) is prediction
    changed = as_asked(pred(box("Cup", 0, 0, 9, 9), absent=["Dog", "dog"]), ["dog", "cup"])
    assert (changed.phrases, changed.absent) == (["cup", "dog"], ["dog"])


def light(instance: Instance, spelling: str) -> Instance:
    return replace(instance, phrase=spelling)


KEYPOINTS = {"nose": np.array([5.0, 5.0]), "left eye": np.array([6.0, 6.0])}
PERSON = Instance("traffic light", bbox=np.array([0.0, 0, 40, 40]), keypoints=KEYPOINTS)
BOX, POINT = box("traffic light", 0, 0, 40, 40), point("traffic light", 5, 5)
METRICS = {
    "BoxF1": (BOX, "f1@0.5"),
    "CocoAP": (BOX, "ap50[score=constant]"),
    "LvisAP": (BOX, "ap50[score=constant]"),
    "PointF1": (POINT, "f1"),
    "PointAccuracy": (POINT, "accuracy@0.01"),
    "KeypointAP": (PERSON, "oks_ap50[score=constant]"),
    "KeypointPCK": (PERSON, "pck@0.1"),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("absent", [["dog"], []])
def test_metrics(name, absent):
    instance, value = METRICS[name]
    pair = pred(light(instance, "Traffic_Light")), gt(instance, absent=absent)
    assert score(getattr(metrics, name)(), pair)[value] == pytest.approx(1.0)
    assert score(getattr(metrics, name)(strict_phrases=True), pair)[value] <= 0.0
    # Something else is right only where there was nothing else to ask for.
    pair = pred(light(instance, "car")), gt(instance, absent=absent)
    assert max(0.0, score(getattr(metrics, name)(), pair)[value]) == pytest.approx(
        float(not absent)
    )


def test_metrics_of_counts_and_rejection():
    pair = pred(light(BOX, "Traffic_Light"), absent=["Dog"]), gt(BOX, absent=["dog"])
    assert score(metrics.CountingError(), pair)["counting_mae"] == 0.0
    assert score(metrics.CountingError(strict_phrases=True), pair)["counting_mae"] == 0.5
    assert score(metrics.Rejection(), pair)["answered_none"] == 1.0
    assert score(metrics.Rejection(strict_phrases=True), pair)["answered_none"] == 0.0
    echo = pred(box("a thing", 0, 0, 9, 9)), gt(absent=["dog"])
    assert score(metrics.Rejection(), echo)["rejection_accuracy"] == 0.0
    assert score(metrics.Rejection(strict_phrases=True), echo)["rejection_accuracy"] == 1.0


def test_the_category_of_a_visual_prompt():
    shown = box("object_1", 0, 0, 40, 40, extra={"category": "cup", "reference": True})
    pair = pred(box("cup", 0, 0, 40, 40)), gt(shown)
    assert score(metrics.VisualPrompting(), pair)["f1@0.5"] == 1.0
    assert score(metrics.VisualPrompting(strict_phrases=True), pair)["f1@0.5"] == 0.0


REWARDS = {
    **dict.fromkeys(("box_iou", "box_f1", "polygon_iou", "count"), BOX),
    **dict.fromkeys(("point_in_box", "point_in_mask"), POINT),
    "keypoint_oks": PERSON,
}


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("absent", [["dog"], []])
def test_rewards(name, absent):
    instance = REWARDS[name]
    target = gt(instance if instance is PERSON else BOX, absent=absent)
    prediction = pred(light(instance, "Traffic_Light"), absent=absent)

    def reward(prediction: Prediction, target: Annotation, **options: bool) -> float:
        return build_reward({"type": name, **options}, "rewards.0")(prediction, target)

    assert reward(prediction, target) == pytest.approx(1.0)
    assert reward(prediction, target, strict_phrases=True) < 0.6
    other = pred(light(instance, "car"), absent=absent)
    assert (reward(other, target) == pytest.approx(1.0)) is not bool(absent)


def test_rewards_of_absent_phrases():
    target, prediction = gt(absent=["dog", "cup"]), pred(absent=["Dog", "CUP"])
    reward = build_reward({"type": "rejection"}, "rewards.0")
    assert reward(prediction, target) == 1.0
    strict = build_reward({"type": "rejection", "strict_phrases": True}, "rewards.0")
    assert strict(prediction, target) == 0.0
    ocr = build_reward({"type": "ocr_text"}, "rewards.0")
    assert ocr(pred(absent=["words"]), gt(absent=["word"])) == 1.0


def test_faults_know_other_spellings_but_still_name_other_phrases():
    target = gt(BOX)
    assert find_faults(pred(light(BOX, "Traffic_Light")), target, ["traffic light"]) == []
    found = find_faults(pred(light(BOX, "car")), target, ["traffic light"])
    assert {fault.kind for fault in found} == {"not_asked", "not_answered", "wrong_phrase"}
