"""PCK on cases computed by hand, and OKS AP against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rexkit.keypoints import SCHEMAS
from rexkit.metrics import KeypointAP, KeypointPCK
from rexkit.metrics.keypoint_ap import METRIC_NAMES
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (400, 400)
FIGURE = SCHEMAS["figure"].keypoints


def instance(points, box=(0, 0, 50, 100), phrase="person", schema=FIGURE, **known):
    """An instance with its keypoints in the order of a schema; None is invisible."""
    places = {
        name: None if xy is None else np.array(xy, dtype=float)
        for name, xy in zip(schema, points, strict=False)
    }
    return Instance(phrase, bbox=np.array(box, dtype=float), keypoints=places, **known)


def score(metric, *pairs):
    for predictions, targets in pairs:
        metric.add(Prediction(SIZE, predictions), Annotation(SIZE, targets))
    return metric.compute()


TRUE = [(25, 10), (50, 40), (0, 40), (40, 100), None]


class TestPCK:
    def test_by_hand(self):
        # The longer side is 100, so the thresholds are 5, 10 and 20 pixels.
        found = [(25, 15), (59, 40), None, (40, 81), (10, 100)]
        assert score(KeypointPCK(), ([instance(found)], [instance(TRUE)])) == {
            "pck@0.05": 1 / 4,
            "pck@0.1": 2 / 4,
            "pck@0.2": 3 / 4,
        }

    def test_values_are_named_by_thresholds(self):
        metric = METRICS.build({"type": "KeypointPCK", "thresholds": [0.5]})
        assert score(metric, ([instance(TRUE)], [instance(TRUE)])) == {"pck@0.5": 1.0}

    def test_pairs_are_one_to_one_whatever_the_order(self):
        far = [None if xy is None else (xy[0] + 200, xy[1]) for xy in TRUE]
        targets = [instance(TRUE), instance(far, (200, 0, 250, 100))]
        both = [instance(far), instance(TRUE)]
        assert set(score(KeypointPCK(), (both, targets)).values()) == {1.0}
        twice = [instance(TRUE), instance(TRUE)]
        assert set(score(KeypointPCK(), (twice, targets)).values()) == {0.5}
        assert set(score(KeypointPCK(), ([], targets)).values()) == {0.0}

    def test_only_the_own_phrase_counts(self):
        other = instance(TRUE, phrase="dog")
        metric = KeypointPCK(strict_phrases=True)
        assert score(metric, ([other], [instance(TRUE)]))["pck@0.2"] == 0

    def test_ignored_instances_do_not_count(self):
        crowd = instance([None] * 5, (100, 0, 200, 200), ignore=True)
        unlabelled = instance([None] * 5, (100, 0, 200, 200))
        pair = ([instance(TRUE), instance(TRUE)], [instance(TRUE), crowd, unlabelled])
        assert set(score(KeypointPCK(), pair).values()) == {1.0}

    def test_empty_targets(self):
        assert score(KeypointPCK(), ([], []))["pck@0.2"] == 1
        assert score(KeypointPCK(), ([instance(TRUE)], []))["pck@0.2"] == 0

    def test_keypoints_with_another_name_are_missed(self):
        odd = instance(TRUE)
        odd.keypoints["head"] = odd.keypoints.pop("nose")
        assert score(KeypointPCK(), ([odd], [instance(TRUE)]))["pck@0.2"] == 3 / 4

    def test_an_unknown_schema_is_an_error(self):
        bee = instance([(1, 1)], schema=["antenna"])
        with pytest.raises(
            ValueError, match=r"no known schema has the keypoints of 'person': antenna"
        ):
            score(KeypointPCK(), ([], [bee]))

    def test_per_category(self):
        cat = instance(TRUE, phrase="cat")
        metric = KeypointPCK()
        score(metric, ([cat], [cat, instance(TRUE)]))
        assert metric.per_category()["cat"]["pck@0.05"] == 1
        assert metric.per_category()["person"]["pck@0.2"] == 0


def crowded_images(number, seed, scored, phrases=("person",)):
    """Answers and targets with every case: hidden, unlabelled, crowds, misses, extras, ties."""
    rng = np.random.default_rng(seed)
    schema = SCHEMAS["person"].keypoints
    pairs = []
    for _ in range(number):
        targets, predictions = [], []
        for _ in range(rng.integers(0, 6)):
            corner, side = rng.uniform(0, 250, 2), rng.choice([20.0, 60.0, 150.0])
            points = corner + rng.uniform(0, 1, (17, 2)) * side
            phrase = str(rng.choice(phrases))
            kind = rng.random()
            shown = rng.random(17) < 0.7 if kind > 0.25 else np.zeros(17, dtype=bool)
            known = {"ignore": kind < 0.1}
            known["extra"] = {"area": float(0.6 * side**2)} if rng.random() < 0.8 else {}
            box = (*corner, *(corner + side))
            hidden = [tuple(xy) if see else None for xy, see in zip(points, shown, strict=True)]
            targets.append(instance(hidden, box, phrase, schema, **known))
            for _ in range(rng.integers(0, 4)):
                near = points + rng.normal(0, 0.05 * side * rng.uniform(0, 2), (17, 2))
                predictions.append(instance(near, box, phrase, schema))
        for _ in range(rng.integers(0, 3)):
            predictions.append(
                instance(rng.uniform(0, 400, (17, 2)), phrase="person", schema=schema)
            )
        if rng.random() < 0.2:
            predictions += [
                instance(rng.uniform(0, 400, (17, 2)), schema=schema) for _ in range(25)
            ]
        order = rng.permutation(len(predictions))
        predictions = [predictions[i] for i in order]
        for i in predictions:
            i.score = float(rng.integers(1, 6)) / 5 if scored else None
        pairs.append((predictions, targets))
    return pairs


def by_pycocotools(pairs):
    """The ten values of the reference code, with images in the given order."""
    names = sorted({i.phrase for pair in pairs for part in pair for i in part})
    targets, predictions = [], []
    for number, (found, true) in enumerate(pairs, 1):
        for part, rows in ((true, targets), (found, predictions)):
            for i in part:
                triples = [(0, 0, 0) if xy is None else (*xy, 2) for xy in i.keypoints.values()]
                x0, y0, x1, y1 = i.bbox.tolist()
                labelled = sum(v > 0 for *_, v in triples)
                row = {
                    "image_id": number,
                    "category_id": names.index(i.phrase) + 1,
                    "keypoints": [float(x) for triple in triples for x in triple],
                }
                if part is true:
                    row |= {
                        "id": len(rows) + 1,
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": i.extra.get("area", (x1 - x0) * (y1 - y0)),
                        "iscrowd": int(i.ignore),
                        "num_keypoints": labelled,
                    }
                else:
                    row["score"] = 1.0 if i.score is None else i.score
                rows.append(row)
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO()
        wanted.dataset = {
            "images": [{"id": i + 1} for i in range(len(pairs))],
            "categories": [{"id": i + 1} for i in range(len(names))],
            "annotations": targets,
        }
        wanted.createIndex()
        evaluation = COCOeval(wanted, wanted.loadRes(predictions), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


class TestAP:
    @pytest.mark.parametrize("phrases", [("person",), ("cat", "dog", "person")])
    @pytest.mark.parametrize("scored", [True, False])
    def test_equals_pycocotools(self, scored, phrases):
        largest = 0.0
        for seed in range(3):
            pairs = crowded_images(25, seed, scored, phrases)
            metric = KeypointAP(strict_phrases=True)
            mine = score(metric, *pairs)
            order = np.lexsort(metric.state()["keys"].T[::-1])
            reference = by_pycocotools([pairs[i] for i in order])
            source = "model" if scored else "constant"
            assert list(mine) == [f"{name}[score={source}]" for name in METRIC_NAMES]
            largest = max(largest, np.abs(np.array([*mine.values()]) - reference).max())
            assert 0.05 < mine[f"oks_ap[score={source}]"] < 0.9
        assert largest < 1e-9

    def test_results_do_not_depend_on_order_or_merging(self):
        pairs = crowded_images(16, 7, False, ("cat", "person"))
        whole = score(KeypointAP(), *pairs)
        assert score(KeypointAP(), *pairs[::-1]) == whole
        parts = [KeypointAP(), KeypointAP(), KeypointAP()]
        for number, (found, true) in enumerate(pairs):
            parts[number % 2 + 1].add(Prediction(SIZE, found), Annotation(SIZE, true))
        file = io.BytesIO()
        np.savez(file, **parts[2].state())
        file.seek(0)
        with np.load(file, allow_pickle=False) as state:
            parts[0].absorb(dict(state))
        parts[0].merge(parts[1])
        assert parts[0].compute() == whole

    def test_sigmas_are_those_of_the_schema(self):
        hand = SCHEMAS["hand"]
        true = instance(
            [(10.0 * i, 20) for i in range(21)], (0, 0, 200, 100), "hand", hand.keypoints
        )
        moved = instance([(10.0 * i + 6, 20) for i in range(21)], true.bbox, "hand", hand.keypoints)
        alike = np.exp(-36 / (2 * 200 * 100 * (2 * np.array(hand.sigmas)) ** 2)).mean()
        assert 0.5 < alike < 0.75
        values = score(KeypointAP(), ([moved], [true]))
        assert values["oks_ap50[score=constant]"] == pytest.approx(1)
        assert values["oks_ap75[score=constant]"] == 0
        passed = np.mean(alike >= np.linspace(0.5, 0.95, 10))
        assert values["oks_ar[score=constant]"] == pytest.approx(passed)

    def test_a_keypoint_that_is_not_predicted_has_no_similarity(self):
        part = instance([*TRUE[:2], None, None, None])
        values = score(KeypointAP(), ([part], [instance(TRUE)]))
        assert values["oks_ap50[score=constant]"] == pytest.approx(1)  # OKS is 2 of 4
        assert values["oks_ap75[score=constant]"] == 0

    def test_an_unlabelled_instance_takes_one_prediction_and_a_crowd_any_number(self):
        right, near = instance(TRUE), instance([(x + 100, 50) for x in range(0, 50, 10)])
        region = {"points": [None] * 5, "box": (100, 0, 150, 100), "ignore": True}
        pair = [near, near, right]
        crowd = [instance(TRUE), instance(**region)]
        unlabelled = [instance(TRUE), instance(**region, extra={"iscrowd": False})]
        assert score(KeypointAP(), (pair, crowd))["oks_ap[score=constant]"] == pytest.approx(1)
        assert score(KeypointAP(), (pair, unlabelled))["oks_ap[score=constant]"] == pytest.approx(
            0.5
        )

    def test_empty_targets(self):
        assert set(score(KeypointAP()).values()) == {-1.0}
        assert set(score(KeypointAP(), ([instance(TRUE)], [])).values()) == {-1.0}
        assert score(KeypointAP(), ([], [instance(TRUE)]))["oks_ap[score=constant]"] == 0

    def test_values_can_be_written_as_json(self):
        assert json.dumps(score(KeypointAP(), ([instance(TRUE)], [instance(TRUE)])))
