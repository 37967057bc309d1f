"""Metrics on cases worked out by hand, and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.metrics import (
    BoxF1,
    CocoAP,
    CountingError,
    PointAccuracy,
    PointF1,
    Rejection,
    VisualPrompting,
)
from rexkit.metrics.coco_ap import FIGURES
from rexkit.metrics.sizes import SIZES
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (100, 100)


def box(phrase, x0, y0, x1, y1, **known):
    return Instance(phrase, bbox=np.array([x0, y0, x1, y1], dtype=float), **known)


def point(phrase, x, y, **known):
    return Instance(phrase, point=np.array([x, y], dtype=float), **known)


def truth(*instances, absent=(), size=SIZE):
    return Annotation(size, instances, absent)


def answer(*instances, absent=(), size=SIZE):
    return Prediction(size, instances, absent)


def score(metric, *pairs):
    for prediction, target in pairs:
        metric.add(prediction, target)
    return metric.compute()


class TestBoxF1:
    def test_by_hand(self):
        target = truth(
            box("cup", 0, 0, 10, 10), box("cup", 20, 0, 30, 10), box("dog", 50, 50, 90, 90)
        )
        given_answer = answer(
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
            (answer(box("cup", 0, 0, 9, 9)), truth(box("cup", 0, 0, 9, 9), box("dog", 1, 1, 5, 5))),
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
            metric, (answer(near, lost, outlined), truth(small, large, outlined, size=(500, 500)))
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
        score(metric, *pictures(20, seed=4, scored=False))
        whole = metric.state()["counts"].sum(axis=(0, 1))
        tables = metric.per_group().values()
        assert sum(x["truths"] for x in tables) == whole[2, 0]
        assert sum(x["answers"] for x in tables) == whole[1, 0]
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 1]).all()
        assert (metric.state()["counts"][:, :, 0] <= metric.state()["counts"][:, :, 2]).all()

    def test_duplicate_is_wrong(self):
        cup = box("cup", 0, 0, 10, 10)
        figures = score(BoxF1(), (answer(cup, cup, cup), truth(cup)))
        assert figures["precision@0.5"] == pytest.approx(1 / 3)
        assert figures["recall@0.5"] == 1.0

    def test_matching_is_not_greedy(self):
        # The tall answer is nearest to the first truth, but only it can take the second.
        target = truth(box("cup", 0, 0, 10, 10), box("cup", 0, 0, 10, 13))
        figures = score(
            BoxF1(), (answer(box("cup", 0, 0, 10, 11), box("cup", 0, 0, 10, 6)), target)
        )
        assert figures["f1@0.5"] == 1.0

    def test_counts_are_summed_before_dividing(self):
        cup = box("cup", 0, 0, 10, 10)
        many = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
        figures = score(BoxF1(), (answer(cup), truth(cup)), (answer(), truth(*many)))
        assert figures["f1@0.5"] == pytest.approx(2 / 6)

    def test_ignored(self):
        crowd = box("cup", 0, 0, 50, 50, ignore=True)
        inside, half_out, other = (
            box("cup", 10, 10, 20, 20),
            box("cup", 46, 0, 54, 8),
            box("dog", 1, 1, 9, 9),
        )
        assert score(BoxF1(), (answer(inside), truth(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(), (answer(), truth(crowd)))["f1@0.5"] == 1.0
        assert score(BoxF1(), (answer(other), truth(crowd)))["f1@0.5"] == 0.0
        # Half of it lies inside: excused at 0.5, wrong at every other threshold.
        assert score(BoxF1(), (answer(half_out), truth(crowd)))["f1@0.5:0.95"] == pytest.approx(0.1)
        # A true box in a crowd is found all the same.
        both = score(BoxF1(), (answer(inside), truth(crowd, inside)))
        assert both["f1@0.95"] == 1.0
        assert (
            score(BoxF1(), (answer(box("cup", 1, 1, 9, 9, ignore=True)), truth()))["f1@0.5"] == 1.0
        )

    def test_nothing_against_nothing(self):
        def values(*pairs):
            """Of all sizes, and by size."""
            figures = score(BoxF1(), *pairs)
            return tuple(
                {value for name, value in figures.items() if name.startswith("f1_") == by_size}
                for by_size in (False, True)
            )

        assert values((answer(), truth())) == values() == ({1.0}, {-1.0})
        cup = box("cup", 0, 0, 10, 10)
        assert values((answer(cup), truth())) == ({0.0}, {0.0, -1.0})
        assert values((answer(), truth(cup))) == ({0.0}, {0.0, -1.0})

    def test_points_are_no_boxes(self):
        figures = score(BoxF1(), (answer(point("cup", 5, 5)), truth(box("cup", 0, 0, 10, 10))))
        assert figures["recall@0.5"] == 0.0

    def test_broken_box_is_wrong_and_harmless(self):
        figures = score(
            BoxF1(), (answer(box("cup", np.nan, 0, 1, 1)), truth(box("cup", 0, 0, 10, 10)))
        )
        assert figures["f1@0.5"] == 0.0


class TestPointF1:
    def test_one_point_for_each_box(self):
        target = truth(
            box("cup", 0, 0, 10, 10), box("cup", 5, 0, 20, 10), box("dog", 50, 50, 60, 60)
        )
        # The first lies in both cups, the second in one of them alone: greedy could lose it.
        given_answer = answer(
            point("cup", 7, 5), point("cup", 2, 5), point("cup", 8, 8), point("cat", 55, 55)
        )
        figures = score(PointF1(), (given_answer, target))
        assert list(figures) == ["f1", "precision", "recall"]
        assert figures["precision"] == 2 / 4
        assert figures["recall"] == pytest.approx(2 / 3)
        assert figures["f1"] == pytest.approx(4 / 7)

    def test_mask_goes_before_polygon_before_box(self):
        left = {"size": [100, 100], "counts": [0, 5000, 5000]}
        triangle = np.array([[0, 0], [100, 0], [0, 100]], dtype=float)
        thing = box("cup", 0, 0, 100, 100, polygon=triangle)
        assert score(PointF1(), (answer(point("cup", 80, 80)), truth(thing)))["f1"] == 0
        assert score(PointF1(), (answer(point("cup", 80, 10)), truth(thing)))["f1"] == 1
        thing.mask = left
        assert score(PointF1(), (answer(point("cup", 80, 10)), truth(thing)))["f1"] == 0
        assert score(PointF1(), (answer(point("cup", 40, 90)), truth(thing)))["f1"] == 1

    def test_box_and_mask_are_told_apart_where_the_truth_has_both(self):
        left = {"size": [100, 100], "counts": [0, 5000, 5000]}
        cup = box("cup", 0, 0, 100, 100, mask=left)
        dog = box("dog", 0, 0, 100, 100)
        in_both, in_box = point("cup", 20, 20), point("cup", 80, 80)
        figures = score(PointF1(), (answer(in_both, point("dog", 9, 9)), truth(cup, dog)))
        assert figures == dict.fromkeys(["f1", "precision", "recall", "f1_in_box", "f1_in_mask"], 1)
        figures = score(PointF1(), (answer(in_box), truth(cup, dog)))
        assert (figures["f1"], figures["f1_in_box"], figures["f1_in_mask"]) == (0, 1, 0)
        # The boxed cup beside it has no mask: points on cups cannot be told apart here.
        figures = score(PointF1(), (answer(in_box), truth(cup, box("cup", 70, 70, 90, 90))))
        assert set(figures) == {"f1", "precision", "recall"}
        # What is answered in vain is wrong by either rule.
        pairs = [(answer(in_both), truth(cup)), (answer(point("cat", 1, 1)), truth(absent=["cat"]))]
        figures = score(PointF1(), *pairs)
        assert figures["f1"] == figures["f1_in_box"] == figures["f1_in_mask"] == 2 / 3
        # A polygon is an outline too.
        triangle = np.array([[0, 0], [100, 0], [0, 100]], dtype=float)
        figures = score(
            PointF1(), (answer(in_box), truth(box("cup", 0, 0, 99, 99, polygon=triangle)))
        )
        assert (figures["f1_in_box"], figures["f1_in_mask"]) == (1, 0)

    def test_truth_of_points_only(self):
        target = truth(point("cup", 30, 40), size=(300, 400))  # diagonal 500, radius 10
        near = score(PointF1(), (answer(point("cup", 36, 48)), target))
        far = score(PointF1(), (answer(point("cup", 36, 49)), target))
        wide = score(PointF1(distance=0.03), (answer(point("cup", 36, 49)), target))
        assert [x["f1"] for x in (near, far, wide)] == [1, 0, 1]

    def test_ignored_and_nothing(self):
        crowd = box("cup", 0, 0, 50, 50, ignore=True)
        assert score(PointF1(), (answer(point("cup", 5, 5)), truth(crowd)))["f1"] == 1.0
        assert score(PointF1(), (answer(point("cup", 95, 5)), truth(crowd)))["f1"] == 0.0
        assert score(PointF1(), (answer(), truth(Instance("cup"))))["f1"] == 1.0

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
            by_point = truth(*(Instance("nucleus", point=p) for p, _ in found), size=size)
            by_box = truth(*(Instance("nucleus", bbox=b) for _, b in found), size=size)
            middles = [Instance("nucleus", point=(b[:2] + b[2:]) / 2) for _, b in found]
            exact.add(answer(*(Instance("nucleus", point=p) for p, _ in found), size=size), by_box)
            centres.add(answer(*middles, size=size), by_point)
        assert exact.compute()["f1"] == 1.0
        assert centres.compute()["f1"] == 1.0
        assert exact.per_category()["nucleus"]["truths"] == 316


class TestPointAccuracy:
    def test_by_hand(self):
        target = truth(point("cup", 30, 40), point("cup", 300, 40), size=(300, 400))  # diagonal 500
        near = answer(point("cup", 36, 48), point("cup", 30, 44), point("dog", 300, 40))
        figures = score(PointAccuracy(), (near, target))
        assert figures == {"accuracy@0.01": 0.5, "accuracy@0.02": 0.5, "accuracy@0.05": 0.5}
        figures = score(PointAccuracy((0.005, 0.02)), (near, target), (answer(), truth()))
        assert figures == {"accuracy@0.005": 0.0, "accuracy@0.02": 0.5}

    def test_one_to_one(self):
        target = truth(point("cup", 10, 10), point("cup", 12, 10))
        figures = score(PointAccuracy([0.05]), (answer(point("cup", 11, 10)), target))
        assert figures == {"accuracy@0.05": 0.5}
        both = answer(point("cup", 11, 10), point("cup", 14, 10))
        assert score(PointAccuracy([0.05]), (both, target)) == {"accuracy@0.05": 1.0}

    def test_ignored_and_boxes_are_not_looked_at(self):
        target = truth(point("cup", 10, 10, ignore=True), box("cup", 0, 0, 9, 9))
        assert set(score(PointAccuracy(), (answer(), target)).values()) == {1.0}


class TestCountingError:
    def test_by_hand(self):
        cups = [point("cup", 5 * i, 5) for i in range(4)]
        target = truth(*cups, box("dog", 0, 0, 9, 9), absent=["cat"])
        given_answer = answer(*cups[:3], point("cat", 1, 1), point("cat", 2, 2), point("bus", 1, 1))
        metric = CountingError()
        figures = score(metric, (given_answer, target))
        # cup 3 of 4, dog 0 of 1, cat 2 of 0; nobody asked for a bus.
        assert figures == {"counting_mae": 4 / 3, "counting_relative": (1 / 4 + 1) / 2}
        assert metric.per_category()["cup"] == {"counting_mae": 1.0, "counting_relative": 0.25}
        assert list(metric.per_category()) == ["cat", "cup", "dog"]

    def test_unknown_numbers_are_left_out(self):
        target = truth(point("cup", 1, 1), point("cup", 2, 2, ignore=True))
        assert set(score(CountingError(), (answer(), target)).values()) == {0.0}
        assert set(CountingError().compute().values()) == {0.0}


class TestVisualPrompting:
    @staticmethod
    def prompted(*instances, shown=(0,)):
        """A truth as the task makes it: everything under the name of the prompt."""
        things = [Instance("object_1", bbox=i.bbox, ignore=i.ignore) for i in instances]
        for number, (thing, i) in enumerate(zip(things, instances, strict=True)):
            thing.extra = {"category": i.phrase, "reference": number in shown}
        return truth(*things)

    def test_by_hand(self):
        cups = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(4)]
        target = self.prompted(*cups)
        first, second, third = (box("object_1", *i.bbox) for i in cups[:3])
        wrong, other = box("object_1", 50, 50, 60, 60), box("cup", 60, 0, 70, 10)
        figures = score(VisualPrompting(), (answer(first, second, third, wrong, other), target))
        assert figures["precision@0.5"] == 3 / 4  # the cup by its name is no answer to the prompt
        assert figures["recall@0.5"] == 3 / 4
        assert figures["precision@0.5_without_references"] == pytest.approx(2 / 3)
        assert figures["recall@0.5_without_references"] == pytest.approx(2 / 3)
        assert figures["f1@0.5"] == 0.75
        assert figures["f1@0.5_without_references"] == pytest.approx(2 / 3)
        assert figures["ap50[score=constant]"] > figures["ap50[score=constant]_without_references"]

    def test_repeating_the_prompt_finds_nothing(self):
        cups = [box("cup", 20 * i, 0, 20 * i + 10, 10) for i in range(3)]
        shown = box("object_1", *(cups[0].bbox + 1))  # IoU 0.68 with its reference
        figures = score(VisualPrompting(), (answer(shown), self.prompted(*cups)))
        assert figures["f1@0.5"] == 0.5
        assert figures["f1@0.5_without_references"] == 0.0
        assert figures["precision@0.5_without_references"] == 0.0
        # Twice the same is once wrong.
        figures = score(VisualPrompting(), (answer(shown, shown), self.prompted(cups[0])))
        assert figures["precision@0.5"] == 0.5
        assert figures["f1@0.5_without_references"] == 0.0
        # All of it was shown: nothing is left to be found.
        figures = score(VisualPrompting(), (answer(shown), self.prompted(cups[0])))
        assert figures["f1@0.5"] == figures["f1@0.5_without_references"] == 1.0
        assert figures["ap[score=constant]_without_references"] == -1.0

    def test_ap_is_the_mean_over_categories_not_over_prompts(self):
        cup, dog = box("cup", 0, 0, 10, 10), box("dog", 0, 0, 10, 10)
        found, lost = answer(box("object_1", 0, 0, 10, 10)), answer()
        pairs = [(found, self.prompted(cup)) for _ in range(3)] + [(lost, self.prompted(dog))]
        assert score(VisualPrompting(), *pairs)["ap[score=constant]"] == pytest.approx(0.5)
        assert score(VisualPrompting(["BoxF1"]), *pairs)["f1@0.5"] == pytest.approx(6 / 7)


class TestRejection:
    def test_by_hand(self):
        target = truth(box("cup", 0, 0, 9, 9), absent=["dog", "cat", "cow"])
        given_answer = answer(box("cup", 0, 0, 9, 9), box("dog", 0, 0, 5, 5), absent=["cat"])
        figures = score(Rejection(), (given_answer, target), (answer(), truth()))
        assert figures == {
            "rejection_accuracy": pytest.approx(2 / 3),
            "answered_none": pytest.approx(1 / 3),
            "absent": 3,
        }

    def test_none_asked(self):
        assert Rejection().compute() == {"rejection_accuracy": 1, "answered_none": 1, "absent": 0}

    def test_ignored_truth_is_not_absent(self):
        target = truth(box("cup", 0, 0, 9, 9, ignore=True), absent=["cup"])
        assert score(Rejection(), (answer(box("cup", 0, 0, 9, 9)), target))["absent"] == 0


def pictures(number, seed, scored):
    """Pictures of noisy answers, with crowds, misses, and phrases that are not asked for."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        phrases = [f"thing {i}" for i in rng.integers(0, 4, rng.integers(0, 7))]
        corners = rng.uniform(0, 300, (len(phrases), 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 200, corners.shape)])
        wanted = [
            Instance(p, bbox=b, ignore=bool(rng.random() < 0.1))
            for p, b in zip(phrases, boxes, strict=True)
        ]
        found = []
        for i in wanted:
            for _ in range(rng.integers(0, 3)):
                near = i.bbox + rng.normal(0, 6, 4)
                found.append(
                    Instance(i.phrase, bbox=near, score=float(rng.random()) if scored else None)
                )
        extra = Instance("thing 9", bbox=np.array([0.0, 0, 9, 9]), score=0.5 if scored else None)
        order = rng.permutation(len(found))
        yield (
            answer(*(found[i] for i in order), extra, size=(640, 480)),
            truth(*wanted, size=(640, 480)),
        )


def by_pycocotools(pairs):
    """The twelve figures of the reference code, pictures numbered as they come."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def rows(side):
        for number, pair in enumerate(pairs, 1):
            for i in pair[side].instances:
                x0, y0, x1, y1 = i.bbox.tolist()
                yield number, i, [x0, y0, x1 - x0, y1 - y0]

    names = {i.phrase: 0 for p, t in pairs for i in (*p.instances, *t.instances)}
    ids = {name: number for number, name in enumerate(names, 1)}
    data = {
        "images": [{"id": i, "width": 640, "height": 480} for i in range(1, len(pairs) + 1)],
        "categories": [{"id": i, "name": name} for name, i in ids.items()],
        "annotations": [
            {"id": n, "image_id": image, "category_id": ids[i.phrase], "bbox": b}
            | {"area": i.extra.get("area", b[2] * b[3]), "iscrowd": int(i.ignore)}
            for n, (image, i, b) in enumerate(rows(1), 1)
        ],
    }
    detections = [
        {
            "image_id": image,
            "category_id": ids[i.phrase],
            "bbox": b,
            "score": 1 if i.score is None else i.score,
        }
        for image, i, b in rows(0)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = data
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(FIGURES, evaluation.stats, strict=True))


class TestCocoAP:
    def test_equals_pycocotools(self, capfd):
        pairs = list(pictures(60, seed=1, scored=True))
        for _, target in pairs[:20]:
            for i in target.instances:
                i.extra["area"] = 0.6 * float((i.bbox[2:] - i.bbox[:2]).prod())
        figures = score(CocoAP(), *pairs)
        out, err = capfd.readouterr()
        expected = by_pycocotools(pairs)
        assert 0.1 < figures["ap[score=model]"] < 0.9
        assert figures == pytest.approx(
            {f"{k}[score=model]": v for k, v in expected.items()}, abs=1e-6
        )
        assert (out, err) == ("", "")

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 10_000))
    def test_equals_pycocotools_on_any_pictures(self, seed):
        pairs = list(pictures(12, seed, scored=True))
        expected = {f"{k}[score=model]": v for k, v in by_pycocotools(pairs).items()}
        assert score(CocoAP(), *pairs) == pytest.approx(expected, abs=1e-6)

    def test_equals_pycocotools_without_scores(self):
        """Ties are ranked by picture, so the pictures must come in the metric's own order."""
        pairs = list(pictures(40, seed=1, scored=False))
        metric = CocoAP()
        figures = score(metric, *pairs)
        order = np.lexsort(metric.state()["keys"].T[::-1])
        expected = by_pycocotools([pairs[i] for i in order])
        assert figures == pytest.approx(
            {f"{k}[score=constant]": v for k, v in expected.items()}, abs=1e-6
        )

    def test_many_phrases_are_evaluated_in_parts(self, monkeypatch):
        pairs = list(pictures(20, seed=2, scored=True))
        whole = score(CocoAP(), *pairs)
        monkeypatch.setattr("rexkit.metrics.coco_tables.PHRASES_AT_ONCE", 1)
        assert score(CocoAP(), *pairs) == pytest.approx(whole, abs=1e-12)

    def test_perfect_without_scores(self):
        boxes = [box("cup", 0, 0, 40, 40), box("dog", 50, 0, 90, 60)]
        figures = score(CocoAP(), (answer(*boxes), truth(*boxes)))
        assert figures["ap[score=constant]"] == pytest.approx(1.0)
        assert figures["ap_small[score=constant]"] == -1.0
        assert list(figures) == [f"{name}[score=constant]" for name in FIGURES]

    def test_one_box_without_score_makes_all_constant(self):
        found = [box("cup", 0, 0, 40, 40, score=0.9), box("cup", 1, 0, 40, 40)]
        assert "ap[score=constant]" in score(CocoAP(), (answer(*found), truth(found[0])))

    def test_nothing(self):
        assert set(CocoAP().compute().values()) == {-1.0}
        assert set(score(CocoAP(), (answer(box("a", 0, 0, 9, 9)), truth())).values()) == {-1.0}
        assert score(CocoAP(), (answer(), truth(box("a", 0, 0, 9, 9))))["ap[score=constant]"] == 0.0

    def test_blood_cells(self, shared_data):
        data = json.loads((shared_data / "bccd" / "val.json").read_text())
        names = {c["id"]: c["name"] for c in data["categories"]}
        rng = np.random.default_rng(0)
        pairs = []
        for image in data["images"]:
            rows = [row for row in data["annotations"] if row["image_id"] == image["id"]]
            boxes = np.array([row["bbox"] for row in rows], dtype=float)
            boxes[:, 2:] += boxes[:, :2]
            phrases = [names[row["category_id"]] for row in rows]
            cells = [box(p, *b) for p, b in zip(phrases, boxes, strict=True)]
            shifted = [box(c.phrase, *(c.bbox + 4.0), score=rng.random()) for c in cells]
            pairs.append((answer(*shifted[::2]), truth(*cells)))
        expected = {f"{k}[score=model]": v for k, v in by_pycocotools(pairs).items()}
        assert score(CocoAP(), *pairs) == pytest.approx(expected, abs=1e-6)


METRIC_TYPES = [*(BoxF1, CocoAP, CountingError, PointAccuracy, PointF1, Rejection, VisualPrompting)]


def mixed_pictures(number, seed):
    for prediction, target in pictures(number, seed, scored=False):
        for i in (*prediction.instances, *target.instances):
            i.point = (i.bbox[:2] + i.bbox[2:]) / 2
        present = {i.phrase for i in target.instances}
        target.absent = [f"thing {i}" for i in (0, 1, 9) if f"thing {i}" not in present]
        yield prediction, target


class TestAllMetrics:
    @pytest.mark.parametrize("kind", METRIC_TYPES)
    @settings(max_examples=10, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(0, 12))
    def test_order_and_shards_change_nothing(self, kind, random, cut):
        pairs = list(mixed_pictures(12, seed=7))
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
    def test_state_travels_as_plain_arrays(self, kind):
        whole = kind()
        expected = score(whole, *mixed_pictures(6, seed=3))
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
    def test_figures_are_plain_json(self, kind):
        figures = score(kind(), *mixed_pictures(3, seed=5))
        assert json.loads(json.dumps(figures, allow_nan=False)) == figures

    def test_kinds_do_not_mix(self):
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
