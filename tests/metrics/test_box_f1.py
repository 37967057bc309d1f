"""Precision, recall and F1 of boxes, on cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_builders import box, gt, noisy_images, point, pred, score

from rexkit.metrics import BoxF1
from rexkit.metrics.size_groups import SIZES


class TestBoxF1:
    def test_by_hand(self):
        target = gt(box("cup", 0, 0, 10, 10), box("cup", 20, 0, 30, 10), box("dog", 50, 50, 90, 90))
        prediction = pred(
            box("cup", 0, 0, 10, 10),  # exact
            box("cup", 20, 0, 30, 8),  # IoU 0.8
            box("cup", 60, 0, 70, 10),  # background
            box("cat", 50, 50, 90, 90),  # the dog's box with another phrase
        )
        values = score(BoxF1(), (prediction, target))
        ious = ["0.5", "0.75", "0.95", "0.5:0.95"]
        names = [f"{name}@{iou}" for name in ("f1", "precision", "recall") for iou in ious]
        sizes = [f"f1_{x}@{iou}" for x in SIZES for iou in ("0.5", "0.5:0.95")]
        assert list(values) == names + sizes
        assert (values["f1@0.75"], values["recall@0.75"]) == pytest.approx((4 / 7, 2 / 3))
        assert values["precision@0.5"] == 2 / 4
        assert values["recall@0.5"] == pytest.approx(2 / 3)
        assert values["f1@0.5"] == pytest.approx(4 / 7)
        assert values["f1@0.95"] == pytest.approx(2 / 7)
        # IoU 0.8 passes at 0.5 to 0.8, seven of ten thresholds.
        assert values["f1@0.5:0.95"] == pytest.approx((7 * 4 / 7 + 3 * 2 / 7) / 10)

    def test_by_category(self):
        metric = BoxF1()
        score(
            metric,
            (
                pred(box("cup", 0, 0, 9, 9)),
                gt(box("cup", 0, 0, 9, 9), box("dog", 1, 1, 5, 5)),
            ),
        )
        table = metric.per_category()
        assert list(table) == ["cup", "dog"]
        assert table["cup"]["f1@0.5"] == 1.0
        assert set(table["dog"]) < {*metric.compute(), "predictions", "targets"}
        assert (table["dog"].pop("predictions"), table["dog"].pop("targets")) == (0, 1)
        assert set(table["dog"].values()) == {0.0}

    def test_by_size(self):
        small, large = box("cup", 0, 0, 31, 33), box("cup", 100, 100, 300, 300)
        near = box("cup", 0, 0, 33, 33)  # medium by its own area, but matched with the small one
        lost = box("cup", 400, 0, 450, 50)  # medium, background
        outlined = box("cup", 0, 400, 100, 500, extra={"area": 500})  # small, as its outline says
        metric = BoxF1()
        values = score(
            metric,
            (
                pred(near, lost, outlined),
                gt(small, large, outlined, size=(500, 500)),
            ),
        )
        assert values["f1_small@0.5"] == 1.0
        assert values["f1_medium@0.5"] == values["f1_large@0.5"] == 0.0
        table = metric.per_group()
        assert [(x["predictions"], x["targets"]) for x in table.values()] == [
            (2, 2),
            (1, 0),
            (0, 1),
        ]
        assert table["small"]["f1@0.95"] == pytest.approx(2 / 3)
        # At 0.95 the near one is not matched and has its own size.
        assert metric.state()["counts"][0, :, 1, -1].tolist() == [1, 2, 0]

    def test_sizes_add_up(self):
        metric = BoxF1()
        score(metric, *noisy_images(20, seed=4, scored=False))
        whole = metric.state()["counts"].sum(axis=(0, 1))
        tables = metric.per_group().values()
        assert sum(x["targets"] for x in tables) == whole[2, 0]
        assert sum(x["predictions"] for x in tables) == whole[1, 0]
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 1]).all()
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 2]).all()

    def test_duplicates_are_wrong(self):
        cup = box("cup", 0, 0, 10, 10)
        values = score(BoxF1(), (pred(cup, cup, cup), gt(cup)))
        assert values["precision@0.5"] == pytest.approx(1 / 3)
        assert values["recall@0.5"] == 1.0

    def test_matching_is_not_greedy(self):
        # The tall prediction is nearest to the first target, but only it matches the second.
        target = gt(box("cup", 0, 0, 10, 10), box("cup", 0, 0, 10, 13))
        values = score(BoxF1(), (pred(box("cup", 0, 0, 10, 11), box("cup", 0, 0, 10, 6)), target))
        assert values["f1@0.5"] == 1.0

    def test_counts_are_summed_before_dividing(self):
        cup = box("cup", 0, 0, 10, 10)
        many = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
        values = score(
            BoxF1(),
            (pred(cup), gt(cup)),
            (pred(), gt(*many)),
        )
        assert values["f1@0.5"] == pytest.approx(2 / 6)

    def test_ignored(self):
        crowd = box("cup", 0, 0, 50, 50, ignore=True)
        inside, half_out, other = (
            box("cup", 10, 10, 20, 20),
            box("cup", 46, 0, 54, 8),
            box("dog", 1, 1, 9, 9),
        )
        assert score(BoxF1(), (pred(inside), gt(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(), (pred(), gt(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(strict_phrases=True), (pred(other), gt(crowd)))["f1@0.5"] == 0.0
        # Half of it lies inside: not counted at 0.5, wrong at every other threshold.
        assert score(BoxF1(), (pred(half_out), gt(crowd)))["f1@0.5:0.95"] == pytest.approx(0.1)
        # A target box in a crowd is matched nevertheless.
        both = score(BoxF1(), (pred(inside), gt(crowd, inside)))
        assert both["f1@0.95"] == 1.0
        assert score(BoxF1(), (pred(box("cup", 1, 1, 9, 9, ignore=True)), gt()))["f1@0.5"] == 1.0

    def test_empty_predictions_and_targets(self):
        def values(*pairs):
            """The values over all sizes, and those by size."""
            values = score(BoxF1(), *pairs)
            return tuple(
                {value for name, value in values.items() if name.startswith("f1_") == by_size}
                for by_size in (False, True)
            )

        assert values((pred(), gt())) == values() == ({1.0}, {-1.0})
        cup = box("cup", 0, 0, 10, 10)
        assert values((pred(cup), gt())) == ({0.0}, {0.0, -1.0})
        assert values((pred(), gt(cup))) == ({0.0}, {0.0, -1.0})

    def test_points_are_not_boxes(self):
        values = score(BoxF1(), (pred(point("cup", 5, 5)), gt(box("cup", 0, 0, 10, 10))))
        assert values["recall@0.5"] == 0.0

    def test_a_box_with_nan_is_wrong(self):
        values = score(
            BoxF1(),
            (pred(box("cup", np.nan, 0, 1, 1)), gt(box("cup", 0, 0, 10, 10))),
        )
        assert values["f1@0.5"] == 0.0
