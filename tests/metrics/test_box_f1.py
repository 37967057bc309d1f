"""Precision, recall and F1 of boxes, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_builders import box, gt, noisy_images, point, pred, score

from rexkit.metrics import BoxF1
from rexkit.metrics.sizes import SIZES


class TestBoxF1:
    def test_by_hand(self):
        target = gt(box("cup", 0, 0, 10, 10), box("cup", 20, 0, 30, 10), box("dog", 50, 50, 90, 90))
        given_answer = pred(
            box("cup", 0, 0, 10, 10),  # exact
            box("cup", 20, 0, 30, 8),  # IoU 0.8
            box("cup", 60, 0, 70, 10),  # nothing there
            box("cat", 50, 50, 90, 90),  # the dog's box under another name
        )
        figures = score(BoxF1(), (given_answer, target))
        ious = ["0.5", "0.75", "0.95", "0.5:0.95"]
        names = [f"{name}@{iou}" for name in ("f1", "precision", "recall") for iou in ious]
        sizes = [f"f1_{x}@{iou}" for x in SIZES for iou in ("0.5", "0.5:0.95")]
        assert list(figures) == names + sizes
        assert (figures["f1@0.75"], figures["recall@0.75"]) == pytest.approx((4 / 7, 2 / 3))
        assert figures["precision@0.5"] == 2 / 4
        assert figures["recall@0.5"] == pytest.approx(2 / 3)
        assert figures["f1@0.5"] == pytest.approx(4 / 7)
        assert figures["f1@0.95"] == pytest.approx(2 / 7)
        # IoU 0.8 passes at 0.5 to 0.8, seven of ten thresholds.
        assert figures["f1@0.5:0.95"] == pytest.approx((7 * 4 / 7 + 3 * 2 / 7) / 10)

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
        assert set(table["dog"]) < {*metric.compute(), "answers", "truths"}
        assert (table["dog"].pop("answers"), table["dog"].pop("truths")) == (0, 1)
        assert set(table["dog"].values()) == {0.0}

    def test_by_size(self):
        small, large = box("cup", 0, 0, 31, 33), box("cup", 100, 100, 300, 300)
        near = box("cup", 0, 0, 33, 33)  # medium by its own area, but the small one's answer
        lost = box("cup", 400, 0, 450, 50)  # medium, and nothing there
        outlined = box("cup", 0, 400, 100, 500, extra={"area": 500})  # small, as its outline says
        metric = BoxF1()
        figures = score(
            metric,
            (
                pred(near, lost, outlined),
                gt(small, large, outlined, size=(500, 500)),
            ),
        )
        assert figures["f1_small@0.5"] == 1.0
        assert figures["f1_medium@0.5"] == figures["f1_large@0.5"] == 0.0
        table = metric.per_group()
        assert [(x["answers"], x["truths"]) for x in table.values()] == [(2, 2), (1, 0), (0, 1)]
        assert table["small"]["f1@0.95"] == pytest.approx(2 / 3)
        # At 0.95 the near one is nobody's answer and belongs to its own size.
        assert metric.state()["counts"][0, :, 1, -1].tolist() == [1, 2, 0]

    def test_sizes_add_up(self):
        metric = BoxF1()
        score(metric, *noisy_images(20, seed=4, scored=False))
        whole = metric.state()["counts"].sum(axis=(0, 1))
        tables = metric.per_group().values()
        assert sum(x["truths"] for x in tables) == whole[2, 0]
        assert sum(x["answers"] for x in tables) == whole[1, 0]
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 1]).all()
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 2]).all()

    def test_duplicate_is_wrong(self):
        cup = box("cup", 0, 0, 10, 10)
        figures = score(BoxF1(), (pred(cup, cup, cup), gt(cup)))
        assert figures["precision@0.5"] == pytest.approx(1 / 3)
        assert figures["recall@0.5"] == 1.0

    def test_matching_is_not_greedy(self):
        # The tall answer is nearest to the first truth, but only it can take the second.
        target = gt(box("cup", 0, 0, 10, 10), box("cup", 0, 0, 10, 13))
        figures = score(BoxF1(), (pred(box("cup", 0, 0, 10, 11), box("cup", 0, 0, 10, 6)), target))
        assert figures["f1@0.5"] == 1.0

    def test_counts_are_summed_before_dividing(self):
        cup = box("cup", 0, 0, 10, 10)
        many = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
        figures = score(
            BoxF1(),
            (pred(cup), gt(cup)),
            (pred(), gt(*many)),
        )
        assert figures["f1@0.5"] == pytest.approx(2 / 6)

    def test_ignored(self):
        crowd = box("cup", 0, 0, 50, 50, ignore=True)
        inside, half_out, other = (
            box("cup", 10, 10, 20, 20),
            box("cup", 46, 0, 54, 8),
            box("dog", 1, 1, 9, 9),
        )
        assert score(BoxF1(), (pred(inside), gt(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(), (pred(), gt(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(), (pred(other), gt(crowd)))["f1@0.5"] == 0.0
        # Half of it lies inside: excused at 0.5, wrong at every other threshold.
        assert score(BoxF1(), (pred(half_out), gt(crowd)))["f1@0.5:0.95"] == pytest.approx(0.1)
        # A true box in a crowd is found all the same.
        both = score(BoxF1(), (pred(inside), gt(crowd, inside)))
        assert both["f1@0.95"] == 1.0
        assert score(BoxF1(), (pred(box("cup", 1, 1, 9, 9, ignore=True)), gt()))["f1@0.5"] == 1.0

    def test_nothing_against_nothing(self):
        def values(*pairs):
            """Of all sizes, and by size."""
            figures = score(BoxF1(), *pairs)
            return tuple(
                {value for name, value in figures.items() if name.startswith("f1_") == by_size}
                for by_size in (False, True)
            )

        assert values((pred(), gt())) == values() == ({1.0}, {-1.0})
        cup = box("cup", 0, 0, 10, 10)
        assert values((pred(cup), gt())) == ({0.0}, {0.0, -1.0})
        assert values((pred(), gt(cup))) == ({0.0}, {0.0, -1.0})

    def test_points_are_no_boxes(self):
        figures = score(BoxF1(), (pred(point("cup", 5, 5)), gt(box("cup", 0, 0, 10, 10))))
        assert figures["recall@0.5"] == 0.0

    def test_broken_box_is_wrong_and_harmless(self):
        figures = score(
            BoxF1(),
            (pred(box("cup", np.nan, 0, 1, 1)), gt(box("cup", 0, 0, 10, 10))),
        )
        assert figures["f1@0.5"] == 0.0
