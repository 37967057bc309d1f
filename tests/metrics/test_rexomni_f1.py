"""The figures of the public evaluation: as its script computed them, and its rules by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotation_builders import box, gt, point, pred, score

from benchmarks.fidelity.evaluation import TASKS, VISUAL, examples_of, our_figures
from benchmarks.fidelity.evaluation_rows import evaluation_set
from rexkit.grammar import read
from rexkit.metrics import BoxF1, KeypointAP, RexOmniF1
from rexkit.structures import Annotation, Instance, Prediction

# Computed by evaluation/metrics/other_metric.py of IDEA-Research/Rex-Omni at 478e44f, of the
# records of its inference scripts, on the rows that `evaluation_set` draws;
# `python -m benchmarks.fidelity.evaluation` runs both sides again.
PUBLIC = json.loads(Path(__file__).with_name("public_evaluation_figures.json").read_text("utf-8"))
NUMBER, SEED = 20, 3


@pytest.mark.parametrize("task_name", TASKS)
def test_equals_the_public_script(task_name, tmp_path):
    ours = our_figures(evaluation_set(task_name, NUMBER, SEED), tmp_path)
    _check(ours, PUBLIC[task_name])
    assert 0.2 < PUBLIC[task_name]["f1" if "f1" in PUBLIC[task_name] else "f1@0.5"] < 1
    assert ours["failed"] == 0


def test_equals_the_public_script_as_it_scores_visual_prompts(tmp_path):
    made = evaluation_set(VISUAL, NUMBER, SEED)
    ours = our_figures(made, tmp_path, task_name="referring_object_detection")
    _check(ours, PUBLIC[f"{VISUAL} as written"])
    assert "mae" not in ours


def _check(ours, public):
    """Compare; what has one threshold has the same value at each of the public ones."""
    assert len(public) >= 6
    for name, value in public.items():
        assert ours.get(name, ours.get(name.partition("@")[0])) == pytest.approx(value, abs=1e-9)


def row(gt, task_name="dense_object_detection", **extra) -> Annotation:
    return Annotation((100, 100), extra={"gt": gt, "task_name": task_name, **extra})


def values(*pairs, **options) -> dict[str, float]:
    found = score(RexOmniF1(**options), *pairs)
    return {name.removeprefix("rexomni_"): value for name, value in found.items()}


CUP = [0, 0, 10, 10]


def test_images_weigh_alike_whatever_they_hold():
    one = pred(), row({"cup": [CUP]})
    many = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
    four = pred(*many), row({"cup": [i.bbox.tolist() for i in many]})
    assert values(one, four)["f1@0.5"] == 0.5
    targets = gt(box("cup", *CUP)), gt(*many)
    ours = score(BoxF1(), (pred(), targets[0]), (pred(*many), targets[1]))
    assert ours["f1@0.5"] == pytest.approx(8 / 9)


def test_phrases():
    other = pred(box("dog", *CUP))
    truth = {"cup": [CUP], "dog": [[50, 50, 60, 60]]}
    # A phrase of the ground truth is matched with a target of another one.
    assert values((other, row(truth)))["precision@0.5"] == 1
    assert values((pred(box("cat", *CUP)), row(truth)))["precision@0.5"] == 0
    assert values((pred(box("cat", *CUP)), row(truth, "referring_object_detection")))[
        "precision@0.5"
    ] == pytest.approx(1)
    assert values((pred(box("cat", *CUP)), row(truth, "")))["precision@0.5"] == 1
    spelled = pred(box("Traffic-Light 2", *CUP)), {"traffic_light": [CUP]}
    assert values((spelled[0], row(spelled[1])))["f1@0.5"] == 1
    assert values((spelled[0], row(spelled[1], "layout_detection")))["f1@0.5"] == 0
    assert values((spelled[0], row(spelled[1])), task_name="layout_detection")["f1@0.5"] == 0


def test_targets_take_the_best_prediction_in_order():
    first, second = [0, 0, 10, 10], [0, 0, 10, 8]
    prediction = pred(box("cup", 0, 0, 10, 9), box("cup", 0, 0, 10, 18))
    found = values((prediction, row({"cup": [second, first]})))
    # The first target takes the box that the second needs; the most matches would be two.
    assert found["recall@0.5"] == 1
    assert values((prediction, row({"cup": [first, [0, 0, 10, 5.5]]})))["recall@0.5"] == 0.5
    most = score(BoxF1(), (prediction, gt(box("cup", *first), box("cup", 0, 0, 10, 5.5))))
    assert most["recall@0.5"] == 1


@pytest.mark.parametrize(
    ("truth", "task_name", "right"),
    [
        ({"dog": []}, "dense_object_detection", 0),
        ({}, "dense_object_detection", 1),
        ({"dog": []}, "referring_object_detection", 1),
        ({"dog": []}, "pointing", 1),
        ({}, "hallucination", 1),
    ],
)
def test_absent_phrases(truth, task_name, right):
    found = values((pred(absent=["dog"]), row(truth, task_name)))
    assert next(iter(found.values())) == right
    found = values((pred(box("dog", *CUP)), row(truth, task_name)))
    assert next(iter(found.values())) == 0


def test_images_on_which_the_public_script_fails_are_counted():
    fine = pred(box("cup", *CUP)), row({"cup": [CUP]})
    a_point = pred(point("cup", 5, 5)), row({"cup": [CUP]})
    no_mask = pred(point("cup", 5, 5)), row({"cup": [CUP]}, "pointing")
    null = pred(box("cup", *CUP)), row({"cup": None})
    found = values(fine, a_point, no_mask, null)
    assert (found["images"], found["failed"], found["f1@0.5"]) == (1, 3, 1)


def person(**keypoints) -> dict:
    return {"bbox": [0, 0, 50, 50], "keypoints": keypoints, "phrase": "person1"}


def test_keypoints():
    truth = {"person": [person(nose=[5, 5], neck="unvisible"), person(nose=[5, 5])]}
    seen = Instance("person", bbox=[0, 0, 50, 50], keypoints={"nose": [5, 5], "neck": [1, 1]})
    target = row(truth, "keypoint")
    # One prediction matches two instances, and what is not predicted costs nothing.
    assert values((pred(seen), target))["keypoint_ap@0.5"] == 1
    assert values((pred(seen), target))["failed"] == 0
    assert values((pred(seen), target), fail_on_invisible=True)["failed"] == 1
    hidden = Instance("person", bbox=[0, 0, 50, 50], keypoints={"nose": None, "neck": [1, 1]})
    truth = row({"person": [person(nose=[5, 5], neck=[1, 1])]}, "keypoint")
    assert values((pred(hidden), truth))["keypoint_oks"] == 1
    assert values((pred(hidden), truth), fail_on_invisible=True)["failed"] == 1
    schema = {name: [9.0, 9.0] for name in ("nose", "left eye", "right eye")}
    both = [Instance("person", bbox=[0, 0, 50, 50], keypoints=dict(schema)) for _ in range(2)]
    own = score(KeypointAP(), (pred(both[0]), gt(*both)))["oks_ar[score=constant]"]
    assert own == pytest.approx(0.5)


def test_categories_of_a_visual_prompt_are_one_image(tmp_path):
    made = evaluation_set(VISUAL, 8, 5)
    pairs = [
        (read(text, example.target.image_size), example.target)
        for example, text in examples_of(made, tmp_path)
    ]
    assert len(pairs) > 8
    whole = RexOmniF1()
    expected = score(whole, *pairs)
    assert expected["rexomni_images"] == 8
    # Also if its categories are in different processes, in any order.
    parts = RexOmniF1(), RexOmniF1()
    for number, pair in enumerate(reversed(pairs)):
        parts[number % 2].add(*pair)
    parts[0].merge(parts[1])
    assert parts[0].compute() == expected
    assert parts[0].compute() == expected


def test_other_datasets_are_scored_by_their_target():
    target = Annotation((100, 100), [box("cup", *CUP), box("x", 0, 0, 5, 5, ignore=True)], ["dog"])
    prediction = Prediction((100, 100), [box("mug", *CUP)], ["dog"])
    assert values((prediction, target))["f1@0.5"] == 1
    assert values((prediction, target), task_name="dense_object_detection")["f1@0.5"] == 0
