"""Rewards on cases computed by hand, and rewards that fail."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_builders import SIZE, box, gt, point, pred
from hypothesis import given
from hypothesis import strategies as st

from rexkit.errors import ConfigError, UserError
from rexkit.grammar import read, write
from rexkit.keypoints import SCHEMAS
from rexkit.registry import REWARDS
from rexkit.rewards import RewardError, WeightedRewards, build_reward
from rexkit.structures import Annotation, Instance, Prediction, Problem

NAMES = (
    *("box_iou", "box_f1", "point_in_box", "point_in_mask", "polygon_iou"),
    *("ocr_text", "rejection", "format"),
)
BOX_REWARDS = ("box_iou", "box_f1")


def reward(name: str, prediction: Prediction, target: Annotation, **arguments: object) -> float:
    return build_reward({"type": name, **arguments}, "rewards.0")(prediction, target)


@pytest.mark.parametrize("name", [*NAMES, "count", "length"])
def test_empty_against_empty_is_one(name):
    assert reward(name, pred(), gt()) == 1.0


@pytest.mark.parametrize("name", BOX_REWARDS)
def test_none_for_an_absent_phrase_is_right(name):
    target = gt(absent=("dog",))
    assert reward(name, pred(absent=("dog",)), target) == 1.0
    assert reward(name, pred(), target) == 0.0
    assert reward(name, pred(box("dog", 0, 0, 9, 9)), target) == 0.0


@pytest.mark.parametrize("name", BOX_REWARDS)
def test_none_for_a_present_phrase_is_wrong(name):
    target = gt(box("cup", 0, 0, 10, 10), absent=("dog",))
    assert reward(name, pred(absent=("cup", "dog")), target) == pytest.approx(0.5)


def test_ten_copies_of_a_right_box_are_punished_by_box_f1_only():
    target = gt(box("cup", 0, 0, 10, 10))
    copies = pred(*[box("cup", 0, 0, 10, 10)] * 10)
    assert reward("box_iou", copies, target) == 1.0
    assert reward("box_f1", copies, target) == pytest.approx(2 / 11)


@pytest.mark.parametrize("name", BOX_REWARDS)
def test_a_right_box_of_another_phrase_is_wrong(name):
    target = gt(box("cup", 0, 0, 10, 10), absent=["dog"])
    mug = pred(box("mug", 0, 0, 10, 10))
    assert reward(name, mug, target) == 0.0
    # Where only one phrase was asked for, it is clear what is meant.
    one = gt(box("cup", 0, 0, 10, 10))
    assert reward(name, mug, one) == 1.0
    assert reward(name, mug, one, strict_phrases=True) == 0.0


def test_box_iou_by_hand():
    target = gt(box("cup", 0, 0, 10, 10), box("cup", 20, 0, 30, 10))
    got = reward("box_iou", pred(box("cup", 0, 0, 10, 5)), target)
    precision, recall = 0.5, (0.5 + 0) / 2
    assert got == pytest.approx(2 * precision * recall / (precision + recall))


def test_matching_finds_the_most_pairs():
    target = gt(box("cup", 0, 0, 10, 10), box("cup", 0, 0, 10, 14))
    both = pred(box("cup", 0, 0, 10, 12), box("cup", 0, 0, 10, 7))
    assert reward("box_f1", both, target, threshold=0.69) == 1.0


def test_points_are_matched_one_to_one():
    target = gt(box("cup", 0, 0, 10, 10), box("cup", 20, 0, 30, 10))
    assert reward("point_in_box", pred(point("cup", 5, 5), point("cup", 25, 5)), target) == 1.0
    twice = pred(point("cup", 5, 5), point("cup", 6, 6))
    assert reward("point_in_box", twice, target) == 0.5


def test_points_in_masks_and_polygons():
    mask = {"size": [100, 100], "counts": [0, 200, 9800]}  # the first two columns
    triangle = np.array([[50.0, 50], [90, 50], [50, 90]])
    target = gt(
        box("a", 0, 0, 50, 100, mask=mask), Instance("b", polygon=triangle), box("c", 0, 0, 9, 9)
    )
    right = pred(point("a", 1, 5), point("b", 55, 55), point("c", 5, 5))
    assert reward("point_in_mask", right, target) == 1.0
    outside = pred(point("a", 30, 5), point("b", 89, 89), point("c", 5, 5))
    assert reward("point_in_mask", outside, target) == pytest.approx(1 / 3)


def test_polygons_are_rewarded_by_their_overlap():
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    target = gt(Instance("word", polygon=square))
    half = Instance("word", polygon=square * [1, 0.5])
    assert reward("polygon_iou", pred(half), target) == pytest.approx(0.5)
    assert reward("polygon_iou", pred(box("word", 0, 0, 10, 10)), target) == pytest.approx(1.0)


def test_text_is_rewarded_by_detection_and_recognition():
    exit_, inn = (box("word", y, y, y + 40, y + 10, text=t) for y, t in ((0, "EXIT"), (50, "inn")))
    target = gt(exit_, inn)
    assert reward("ocr_text", pred(exit_, inn), target) == 1.0
    # The released weights write the text in place of the phrase: phrases are not compared.
    predicted = [box(t, *i.bbox, text=t) for i, t in ((exit_, " EXlT"), (inn, "inn"))]
    assert reward("ocr_text", pred(*predicted), target) == pytest.approx((3 / 4 + 1) * 2 / 4)
    assert reward("ocr_text", pred(*predicted, *predicted), target) == pytest.approx(
        (3 / 4 + 1) * 2 / 6
    )
    elsewhere = box("word", 0, 80, 40, 90, text="EXIT")
    assert reward("ocr_text", pred(elsewhere), target) == 0.0
    square = np.array([[0.0, 0], [40, 0], [40, 10], [0, 10]])
    outlined = Instance("word", polygon=square, text="EXIT")
    assert reward("ocr_text", pred(outlined), target) == pytest.approx(2 / 3)
    assert reward("ocr_text", pred(exit_), target, threshold=1.0) == pytest.approx(2 / 3)


def test_illegible_text_is_not_counted():
    region = box("word", 0, 0, 80, 20, text="###", ignore=True)
    word = box("word", 0, 50, 40, 60, text="inn")
    inside, beside = (box("word", x, 0, x + 20, 20, text="so") for x in (10, 75))
    assert reward("ocr_text", pred(inside, word), gt(region, word)) == 1.0
    assert reward("ocr_text", pred(beside, word), gt(region, word)) == pytest.approx(2 / 3)
    assert reward("ocr_text", pred(absent=("word",)), gt(region)) == 1.0
    assert reward("ocr_text", pred(absent=("word",)), gt(absent=("word",))) == 1.0
    assert reward("ocr_text", pred(), gt(absent=("word",))) == 0.0
    assert reward("ocr_text", pred(absent=("word",)), gt(word)) == 0.0


def test_the_response_of_an_ocr_task_has_the_full_reward():
    words = [box("word", 10 * n, 10, 10 * n + 9, 20, text=t) for n, t in enumerate(("a b", "c,d"))]
    for place in ("phrase", "inline"):
        text = write(words, SIZE, phrases=["word"], transcription=place)
        assert reward("ocr_text", read(text, SIZE, transcription=place), gt(*words)) == 1.0


def test_keypoints_are_rewarded_by_their_similarity():
    names = SCHEMAS["person"].keypoints
    points = {name: np.array([10.0 + i, 20.0 + i]) for i, name in enumerate(names)}
    person = box("person", 0, 0, 50, 50, keypoints={**points, "left ear": None})
    target = gt(person, absent=("horse",))
    assert reward("keypoint_oks", pred(person, absent=("horse",)), target) == 1.0
    shifted = box(
        "person", 0, 0, 50, 50, keypoints={n: np.add(xy, (2, 0)) for n, xy in points.items()}
    )
    expected = np.delete(np.asarray(SCHEMAS["person"].sigmas), names.index("left ear"))
    similar = np.exp(-4 / (2 * 2500 * (2 * expected) ** 2)).mean()
    got = reward("keypoint_oks", pred(shifted, absent=("horse",)), target)
    assert got == pytest.approx((2 * similar + 2) / 4)
    two = pred(person, person, absent=("horse",))
    assert reward("keypoint_oks", two, target) == pytest.approx(4 / 5)
    unknown = gt(box("x", 0, 0, 9, 9, keypoints={"gizmo": np.array([1.0, 1.0])}))
    with pytest.raises(ValueError, match="gizmo"):
        reward("keypoint_oks", pred(), unknown)


def test_ignored_instances_are_not_counted():
    target = gt(box("cup", 0, 0, 10, 10), box("hat", 50, 50, 90, 90, ignore=True))
    predicted = pred(box("cup", 0, 0, 10, 10), box("hat", 50, 50, 60, 60))
    assert reward("box_f1", predicted, target) == reward("box_iou", predicted, target) == 1.0


def test_format_count_length_and_rejection():
    broken = Prediction(SIZE, problems=[Problem("junk", 0, "")], text="x" * 30)
    assert reward("format", broken, gt()) == 0.0
    assert reward("length", broken, gt(), soft_limit=20, hard_limit=40) == 0.5
    three = gt(*[box("cup", i, 0, i + 1, 1) for i in range(3)], absent=("dog",))
    assert reward("count", pred(box("cup", 0, 0, 1, 1)), three) == pytest.approx((1 / 3 + 1) / 2)
    assert reward("rejection", pred(absent=("dog",)), gt(absent=("dog", "cat"))) == 0.5


@given(st.data())
def test_the_ground_truth_has_reward_one_and_every_reward_is_in_range(data):
    numbers = st.integers(0, 80)
    instances = []
    for phrase in data.draw(st.lists(st.sampled_from("abc"), max_size=6)):
        x, y = data.draw(numbers), data.draw(numbers)
        instances.append(box(phrase, x, y, x + 19, y + 19))
    absent = [p for p in "xyz" if data.draw(st.booleans())]
    target = gt(*instances, absent=tuple(absent))
    same = pred(*instances, absent=tuple(absent))
    other = pred(*instances[::2], absent=tuple(absent[1:]))
    for name in [*NAMES, "count"]:
        if name not in ("point_in_box", "point_in_mask"):
            assert reward(name, same, target) == pytest.approx(1.0)
        assert 0.0 <= reward(name, other, target) <= 1.0


def test_a_written_response_has_the_full_reward():
    target = gt(box("cup", 0, 0, 50, 50), absent=("dog",))
    text = write(target.instances, SIZE, phrases=["cup", "dog"])
    assert reward("box_f1", read(text, SIZE), target) == 1.0


@pytest.fixture
def register_reward():
    added = []

    def add(name, component):
        REWARDS.register_module(name, module=component)
        added.append(name)

    yield add
    for name in added:
        REWARDS.module_dict.pop(name)


def test_a_user_reward_is_a_function(register_reward):
    register_reward("my_reward", lambda prediction, target: 0.25)
    rewards = WeightedRewards(["my_reward", dict(type="format", weight=3)])
    table = rewards.score([pred()], [gt()], ["a.jpg"])
    assert table.total == pytest.approx([(0.25 + 3) / 4])
    assert table.by_name["my_reward"] == pytest.approx([0.25])


def test_a_class_may_reward_a_batch(register_reward):
    class Half:
        def batch(self, predictions, targets):
            return np.full(len(predictions), 0.5)

    register_reward("half", Half)
    table = WeightedRewards(["half"]).score([pred()] * 3, [gt()] * 3, ["a", "b", "c"])
    assert table.total.tolist() == [0.5] * 3


class Short:
    def batch(self, predictions, targets):
        return [1.0]


BROKEN = {
    "raises": (lambda prediction, target: 1 / 0, "ZeroDivisionError"),
    "nan": (lambda prediction, target: float("nan"), "not in"),
    "large": (lambda prediction, target: 1.5, r"1\.5"),
    "short": (Short, r"\(1,\) numbers for 2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reward_stops_with_its_name_and_the_sample(register_reward, name):
    component, words = BROKEN[name]
    register_reward(name, component)
    with pytest.raises(RewardError, match=words) as error:
        WeightedRewards([name]).score([pred()] * 2, [gt()] * 2, ["a.jpg", "b.jpg"])
    assert name in str(error.value)
    assert "a.jpg" in str(error.value)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reward_may_count_zero_instead(register_reward, name):
    register_reward(name, BROKEN[name][0])
    rewards = WeightedRewards([name], on_error="zero")
    table = rewards.score([pred()] * 2, [gt()] * 2, ["a.jpg", "b.jpg"])
    assert table.total.tolist() == [0.0, 0.0]
    assert rewards.failures == {name: 2}


def test_configs_are_checked():
    with pytest.raises(ConfigError, match=r"rewards\.0\.type.*box_iou"):
        WeightedRewards(["box_ious"])
    with pytest.raises(ConfigError, match="threshold"):
        WeightedRewards([dict(type="box_f1", treshold=0.5)])
    with pytest.raises(UserError, match="two rewards"):
        WeightedRewards(["box_f1", dict(type="box_f1", threshold=0.9)])
    two = WeightedRewards(["box_f1", dict(type="box_f1", threshold=0.9, name="strict")])
    assert two.names == ["box_f1", "strict"]
    with pytest.raises(UserError, match="above 0"):
        WeightedRewards([dict(type="format", weight=0)])
