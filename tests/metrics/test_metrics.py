"""Properties of every metric; rejection and visual prompting on cases computed by hand."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from annotation_builders import box, gt, noisy_images, pred, score
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.metrics import (
    BoxF1,
    CocoAP,
    CountingError,
    PointAccuracy,
    PointF1,
    Rejection,
    RexOmniF1,
    VisualPrompting,
)
from rexkit.registry import METRICS
from rexkit.structures import Instance


class TestRejection:
    def test_by_hand(self):
        target = gt(box("cup", 0, 0, 9, 9), absent=["dog", "cat", "cow"])
        prediction = pred(box("cup", 0, 0, 9, 9), box("dog", 0, 0, 5, 5), absent=["cat"])
        values = score(Rejection(), (prediction, target), (pred(), gt()))
        assert values == {
            "rejection_accuracy": pytest.approx(2 / 3),
            "answered_none": pytest.approx(1 / 3),
            "absent": 3,
        }

    def test_no_absent_phrase(self):
        assert Rejection().compute() == {"rejection_accuracy": 1, "answered_none": 1, "absent": 0}

    def test_ignored_targets_are_not_absent(self):
        target = gt(box("cup", 0, 0, 9, 9, ignore=True), absent=["cup"])
        assert score(Rejection(), (pred(box("cup", 0, 0, 9, 9)), target))["absent"] == 0


class TestVisualPrompting:
    @staticmethod
    def prompted(*instances, shown=(0,)):
        """A target as the task returns it: every phrase is the name in the prompt."""
        renamed = [Instance("object_1", bbox=i.bbox, ignore=i.ignore) for i in instances]
        for number, (instance, i) in enumerate(zip(renamed, instances, strict=True)):
            instance.extra = {"category": i.phrase, "reference": number in shown}
        return gt(*renamed)

    def test_by_hand(self):
        cups = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
        target = self.prompted(*cups)
        first, second, third = (box("object_1", *i.bbox) for i in cups[:3])
        wrong, other = box("object_1", 50, 50, 60, 60), box("cup", 60, 0, 70, 10)
        metric = VisualPrompting(strict_phrases=True)
        values = score(metric, (pred(first, second, third, wrong, other), target))
        assert values["precision@0.5"] == 3 / 4  # the phrase cup is not in the prompt
        assert values["recall@0.5"] == 3 / 4
        assert values["precision@0.5_without_references"] == pytest.approx(2 / 3)
        assert values["recall@0.5_without_references"] == pytest.approx(2 / 3)
        assert values["f1@0.5"] == 0.75
        assert values["f1@0.5_without_references"] == pytest.approx(2 / 3)
        assert values["ap50[score=constant]"] > values["ap50[score=constant]_without_references"]

    def test_repeating_the_prompt_finds_nothing(self):
        cups = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(3)]
        shown = box("object_1", *(cups[0].bbox + 1))  # IoU 0.68 with its reference
        values = score(VisualPrompting(), (pred(shown), self.prompted(*cups)))
        assert values["f1@0.5"] == 0.5
        assert values["f1@0.5_without_references"] == 0.0
        assert values["precision@0.5_without_references"] == 0.0
        # A duplicate is wrong.
        values = score(VisualPrompting(), (pred(shown, shown), self.prompted(cups[0])))
        assert values["precision@0.5"] == 0.5
        assert values["f1@0.5_without_references"] == 0.0
        # All instances were references: nothing is left to be found.
        values = score(VisualPrompting(), (pred(shown), self.prompted(cups[0])))
        assert values["f1@0.5"] == values["f1@0.5_without_references"] == 1.0
        assert values["ap[score=constant]_without_references"] == -1.0

    def test_ap_is_the_mean_over_categories_not_over_prompts(self):
        cup, dog = box("cup", 0, 0, 10, 10), box("dog", 0, 0, 10, 10)
        found, lost = pred(box("object_1", 0, 0, 10, 10)), pred()
        pairs = [(found, self.prompted(cup)) for _ in range(3)] + [(lost, self.prompted(dog))]
        assert score(VisualPrompting(), *pairs)["ap[score=constant]"] == pytest.approx(0.5)
        assert score(VisualPrompting(["BoxF1"]), *pairs)["f1@0.5"] == pytest.approx(6 / 7)


METRIC_TYPES = [
    *(BoxF1, CocoAP, CountingError, PointAccuracy, PointF1, Rejection, RexOmniF1, VisualPrompting)
]


def mixed_images(number, seed):
    for prediction, target in noisy_images(number, seed, scored=False):
        for i in (*prediction.instances, *target.instances):
            i.point = (i.bbox[:2] + i.bbox[2:]) / 2
        present = {i.phrase for i in target.instances}
        target.absent = [f"object {i}" for i in (0, 1, 9) if f"object {i}" not in present]
        yield prediction, target


class TestAllMetrics:
    @pytest.mark.parametrize("kind", METRIC_TYPES)
    @settings(max_examples=10, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(0, 12))
    def test_results_do_not_depend_on_order_or_shards(self, kind, random, cut):
        pairs = list(mixed_images(12, seed=7))
        whole = kind()
        expected = score(whole, *pairs)
        random.shuffle(pairs)
        first, second, third = kind(), kind(), kind()
        score(first, *pairs[:cut])
        score(second, *pairs[cut:])
        third.merge(second)
        third.merge(first)
        assert third.compute() == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("kind", METRIC_TYPES)
    def test_state_is_plain_arrays(self, kind):
        whole = kind()
        expected = score(whole, *mixed_images(6, seed=3))
        file = io.BytesIO()
        np.savez(file, **whole.state())
        file.seek(0)
        copy = kind()
        with np.load(file, allow_pickle=False) as state:
            copy.absorb(dict(state))
        assert copy.compute() == expected
        empty = kind()
        copy.merge(empty)
        assert copy.compute() == expected

    @pytest.mark.parametrize("kind", METRIC_TYPES)
    def test_values_are_plain_json(self, kind):
        values = score(kind(), *mixed_images(3, seed=5))
        assert json.loads(json.dumps(values, allow_nan=False)) == values

    def test_other_classes_cannot_be_merged(self):
        with pytest.raises(TypeError, match="BoxF1 and PointF1"):
            BoxF1().merge(PointF1())

    def test_registered(self):
        names = {kind.__name__ for kind in METRIC_TYPES}
        assert names <= set(METRICS.components())
        assert isinstance(METRICS.build({"type": "PointF1", "distance": 0.1}), PointF1)

    def test_import_is_light(self):
        heavy = {"torch", "shapely", "pycocotools", "faster_coco_eval"}
        code = f"import sys, rexkit.metrics; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"
