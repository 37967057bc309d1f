"""Metrics of points and counts, on cases computed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_builders import box, gt, point, pred, score

from rexkit.metrics import CountingError, PointAccuracy, PointF1
from rexkit.structures import Instance


class TestPointF1:
    def test_one_point_for_each_box(self):
        target = gt(box("cup", 0, 0, 10, 10), box("cup", 5, 0, 20, 10), box("dog", 50, 50, 60, 60))
        # The first lies in both cups, the second in one of them alone: greedy could lose it.
        prediction = pred(
            point("cup", 7, 5), point("cup", 2, 5), point("cup", 8, 8), point("cat", 55, 55)
        )
        values = score(PointF1(), (prediction, target))
        assert list(values) == ["f1", "precision", "recall"]
        assert values["precision"] == 2 / 4
        assert values["recall"] == pytest.approx(2 / 3)
        assert values["f1"] == pytest.approx(4 / 7)

    def test_mask_goes_before_polygon_before_box(self):
        left = {"size": [100, 100], "counts": [0, 5000, 5000]}
        triangle = np.array([[0, 0], [100, 0], [0, 100]], dtype=float)
        cup = box("cup", 0, 0, 100, 100, polygon=triangle)
        assert score(PointF1(), (pred(point("cup", 80, 80)), gt(cup)))["f1"] == 0
        assert score(PointF1(), (pred(point("cup", 80, 10)), gt(cup)))["f1"] == 1
        cup.mask = left
        assert score(PointF1(), (pred(point("cup", 80, 10)), gt(cup)))["f1"] == 0
        assert score(PointF1(), (pred(point("cup", 40, 90)), gt(cup)))["f1"] == 1

    def test_box_and_mask_are_separated_where_targets_have_both(self):
        left = {"size": [100, 100], "counts": [0, 5000, 5000]}
        cup = box("cup", 0, 0, 100, 100, mask=left)
        dog = box("dog", 0, 0, 100, 100)
        in_both, in_box = point("cup", 20, 20), point("cup", 80, 80)
        values = score(PointF1(), (pred(in_both, point("dog", 9, 9)), gt(cup, dog)))
        assert values == dict.fromkeys(["f1", "precision", "recall", "f1_in_box", "f1_in_mask"], 1)
        values = score(PointF1(), (pred(in_box), gt(cup, dog)))
        assert (values["f1"], values["f1_in_box"], values["f1_in_mask"]) == (0, 1, 0)
        # The second cup has no mask: the two rules cannot be separated for cups here.
        values = score(PointF1(), (pred(in_box), gt(cup, box("cup", 70, 70, 90, 90))))
        assert set(values) == {"f1", "precision", "recall"}
        # A false positive on a negative phrase is wrong by both rules.
        pairs = [
            (pred(in_both), gt(cup)),
            (pred(point("cat", 1, 1)), gt(absent=["cat"])),
        ]
        values = score(PointF1(), *pairs)
        assert values["f1"] == values["f1_in_box"] == values["f1_in_mask"] == 2 / 3
        # A polygon is an outline too.
        triangle = np.array([[0, 0], [100, 0], [0, 100]], dtype=float)
        values = score(
            PointF1(),
            (pred(in_box), gt(box("cup", 0, 0, 99, 99, polygon=triangle))),
        )
        assert (values["f1_in_box"], values["f1_in_mask"]) == (1, 0)

    def test_targets_of_points_only(self):
        target = gt(point("cup", 30, 40), size=(300, 400))  # diagonal 500, radius 10
        near = score(PointF1(), (pred(point("cup", 36, 48)), target))
        far = score(PointF1(), (pred(point("cup", 36, 49)), target))
        wide = score(PointF1(distance=0.03), (pred(point("cup", 36, 49)), target))
        assert [x["f1"] for x in (near, far, wide)] == [1, 0, 1]

    def test_ignored_and_empty(self):
        crowd = box("cup", 0, 0, 50, 50, ignore=True)
        assert score(PointF1(), (pred(point("cup", 5, 5)), gt(crowd)))["f1"] == 1.0
        assert score(PointF1(), (pred(point("cup", 95, 5)), gt(crowd)))["f1"] == 0.0
        assert score(PointF1(), (pred(), gt(Instance("cup"))))["f1"] == 1.0

    def test_nuclei(self, shared_data):
        rows = [
            json.loads(x)
            for x in (shared_data / "pointing" / "points.jsonl").read_text().splitlines()
        ]
        exact, centres = PointF1(), PointF1()
        for row in rows:
            size = (row["width"], row["height"])
            found = [
                (np.array(x["point"], float), np.array(x["bbox_xyxy"], float))
                for x in row["instances"]
            ]
            by_point = gt(*(Instance("nucleus", point=p) for p, _ in found), size=size)
            by_box = gt(*(Instance("nucleus", bbox=b) for _, b in found), size=size)
            middles = [Instance("nucleus", point=(b[:2] + b[2:]) / 2) for _, b in found]
            exact.add(
                pred(*(Instance("nucleus", point=p) for p, _ in found), size=size),
                by_box,
            )
            centres.add(pred(*middles, size=size), by_point)
        assert exact.compute()["f1"] == 1.0
        assert centres.compute()["f1"] == 1.0
        assert exact.per_category()["nucleus"]["targets"] == 316


class TestPointAccuracy:
    def test_by_hand(self):
        target = gt(point("cup", 30, 40), point("cup", 300, 40), size=(300, 400))  # diagonal 500
        near = pred(point("cup", 36, 48), point("cup", 30, 44), point("dog", 300, 40))
        values = score(PointAccuracy(strict_phrases=True), (near, target))
        assert values == {"accuracy@0.01": 0.5, "accuracy@0.02": 0.5, "accuracy@0.05": 0.5}
        values = score(PointAccuracy((0.005, 0.02), True), (near, target), (pred(), gt()))
        assert values == {"accuracy@0.005": 0.0, "accuracy@0.02": 0.5}

    def test_one_to_one(self):
        target = gt(point("cup", 10, 10), point("cup", 12, 10))
        values = score(PointAccuracy([0.05]), (pred(point("cup", 11, 10)), target))
        assert values == {"accuracy@0.05": 0.5}
        both = pred(point("cup", 11, 10), point("cup", 14, 10))
        assert score(PointAccuracy([0.05]), (both, target)) == {"accuracy@0.05": 1.0}

    def test_ignored_targets_and_boxes_are_not_compared(self):
        target = gt(point("cup", 10, 10, ignore=True), box("cup", 0, 0, 9, 9))
        assert set(score(PointAccuracy(), (pred(), target)).values()) == {1.0}


class TestCountingError:
    def test_by_hand(self):
        cups = [point("cup", 5 * i, 5) for i in range(4)]
        target = gt(*cups, box("dog", 0, 0, 9, 9), absent=["cat"])
        prediction = pred(*cups[:3], point("cat", 1, 1), point("cat", 2, 2), point("bus", 1, 1))
        metric = CountingError()
        values = score(metric, (prediction, target))
        # cup 3 of 4, dog 0 of 1, cat 2 of 0; a bus was not asked for.
        assert values == {"counting_mae": 4 / 3, "counting_relative": (1 / 4 + 1) / 2}
        assert metric.per_category()["cup"] == {"counting_mae": 1.0, "counting_relative": 0.25}
        assert list(metric.per_category()) == ["cat", "cup", "dog"]

    def test_unknown_numbers_are_skipped(self):
        target = gt(point("cup", 1, 1), point("cup", 2, 2, ignore=True))
        assert set(score(CountingError(), (pred(), target)).values()) == {0.0}
        assert set(CountingError().compute().values()) == {0.0}
