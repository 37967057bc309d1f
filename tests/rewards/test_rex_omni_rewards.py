"""The rewards of the public Rex-Omni code: equal to what that code gave, and by hand."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from annotation_builders import SIZE, box, gt, point, pred
from paths import ROOT

from rexkit.errors import ConfigError
from rexkit.grammar import read, to_pixels
from rexkit.rewards import build_reward

FIDELITY = runpy.run_path(str(ROOT / "benchmarks" / "fidelity" / "rewards.py"))

# What the public code gave (finetuning/verl/configs/reward_func.py of IDEA-Research/Rex-Omni,
# measured by reward_figures): the mean of 500 cases, that of 100 cases that are cut off, and every
# twentieth of the 500.
MEASURED = {
    "box_iou": (
        0.533147929182,
        0.181394446239,
        """
        1.0 0.626426 0.513691 0.364028 0.827645 0.663056 0.355959 0.671901 0.745093 0.724995
        0.201472 0.0 1.0 0.675816 0.0 0.843053 0.0 0.0 0.0 0.735422 0.281867 0.566005 0.616423
        0.630648 0.0
        """,
    ),
    "point_in_box": (
        0.541701674603,
        0.213122696533,
        """
        1.0 0.588235 0.705882 0.352941 0.818182 0.857143 0.434783 0.923077 0.666667 0.666667
        0.181818 0.0 1.0 0.7 0.0 0.8 0.0 0.0 0.666667 0.666667 0.4 0.592593 0.702703 0.5 0.0
        """,
    ),
    "point_in_mask": (
        0.477046589939,
        0.191169688527,
        """
        1.0 0.705882 0.588235 0.352941 0.727273 0.285714 0.347826 0.923077 0.222222 0.571429
        0.181818 0.0 1.0 0.6 0.0 0.8 0.0 0.0 0.0 0.5 0.4 0.518519 0.702703 0.5 0.0
        """,
    ),
}


def reward(name, prediction, target, **arguments):
    return build_reward({"type": name, **arguments}, "rewards.0")(prediction, target)


def public(name, prediction, target):
    return reward(name, prediction, target, variant="rex_omni")


def bins(*numbers):
    """Pixels of bins, as a response is read."""
    return to_pixels(np.array(numbers), SIZE).tolist()


@pytest.mark.parametrize("name", MEASURED)
def test_the_variant_gives_what_the_public_code_gave(name):
    mean, mean_of_cut, some = MEASURED[name]
    whole = FIDELITY["rexkit_rewards"](name, FIDELITY["cases"](name), "rex_omni")
    assert len(whole) == 500
    assert whole.mean() == pytest.approx(mean, abs=1e-11)
    assert whole[::20].tolist() == pytest.approx(list(map(float, some.split())), abs=1e-6)
    cut = FIDELITY["rexkit_rewards"](name, FIDELITY["cases"](name, 100, cut=True), "rex_omni")
    assert cut.mean() == pytest.approx(mean_of_cut, abs=1e-11)
    default = FIDELITY["rexkit_rewards"](name, FIDELITY["cases"](name), "rexkit")
    assert (np.abs(default - whole) > 1e-9).mean() > 0.4


def test_a_missing_copy_of_the_public_code_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"reward_func\.py is missing"):
        FIDELITY["reward_figures"](tmp_path)


@pytest.mark.parametrize("name", MEASURED)
def test_absent_phrases_are_outside_the_f1(name):
    found = point("cup", *bins(50, 50)) if "point" in name else box("cup", *bins(0, 0, 500, 500))
    target = gt(box("cup", 0, 0, SIZE[0] / 2, SIZE[1] / 2), absent=("dog", "cat"))
    silent, denied = pred(found), pred(found, absent=("dog", "cat"))
    assert public(name, silent, target) == public(name, denied, target) == 1.0
    assert reward(name, silent, target) < reward(name, denied, target)
    assert public(name, pred(absent=("cup", "dog", "cat")), target) == 0.0
    nothing = gt(absent=("dog",))
    assert public(name, pred(), nothing) == public(name, pred(absent=("dog",)), nothing) == 1.0
    assert public(name, pred(found), nothing) == 0.0
    wrong = pred(found, point("dog", *bins(9, 9)), box("dog", *bins(9, 9, 20, 20)))
    assert public(name, wrong, target) == pytest.approx(2 / 3)  # precision 1/2, recall 1


def test_recall_is_over_the_boxes_of_the_ground_truth():
    cup = box("cup", *bins(0, 0, 500, 500))
    target = gt(*[box("cup", 0, 0, SIZE[0] / 2, SIZE[1] / 2)] * 2, box("cup", 90, 90, 95, 95))
    # Precision 1 for ten copies of one box, recall 2/3.
    assert public("box_iou", pred(*[cup] * 10), target) == pytest.approx(2 / (1 + 3 / 2))


def test_boxes_without_area_and_other_spellings_do_not_count():
    cup = box("cup", *bins(0, 0, 500, 500))
    target = gt(box("cup", 0, 0, SIZE[0] / 2, SIZE[1] / 2), box("dog", 0, 0, 9, 9))
    flat = box("dog", *bins(0, 0, 0, 90))
    alone = public("box_iou", pred(cup), target)
    assert public("box_iou", pred(cup, flat), target) == alone == pytest.approx(2 / 3)
    assert public("box_iou", pred(box("Cup", *cup.bbox), flat), target) == 0.0
    assert reward("box_iou", pred(box("Cup", *cup.bbox)), target) > 0


def test_points_are_taken_in_order_and_not_for_the_most_pairs():
    target = gt(box("cup", 0, 0, 60, 60), box("cup", 0, 0, 20, 20))
    first_in_both = pred(point("cup", *bins(100, 100)), point("cup", *bins(500, 500)))
    assert reward("point_in_box", first_in_both, target) == pytest.approx(1.0)
    assert public("point_in_box", first_in_both, target) == pytest.approx(1 / 2)


def test_of_a_text_that_was_cut_off_whole_spans_count():
    span = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><500><500>"
    target = gt(box("cup", 0, 0, SIZE[0] / 2, SIZE[1] / 2))
    assert public("box_iou", read(f"{span}<|box_end|>, {span},<1", SIZE), target) == 1.0
    assert public("box_iou", read(span, SIZE), target) == 0.0
    assert reward("box_iou", read(span, SIZE), target) > 0.99


def test_an_unknown_variant_is_an_error():
    with pytest.raises(ConfigError, match=r"rewards\.0\.variant: must be .*'rex_omni'"):
        reward("box_iou", pred(), gt(), variant="seed")
