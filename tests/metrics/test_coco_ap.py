"""COCO's average precision, against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from annotation_builders import box, gt, noisy_images, pred, score
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.metrics import CocoAP
from rexkit.metrics.coco_ap import METRIC_NAMES


def by_pycocotools(pairs):
    """The twelve values of the reference code, with images in the given order."""
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
    return dict(zip(METRIC_NAMES, evaluation.stats, strict=True))


class TestCocoAP:
    def test_equals_pycocotools(self, capfd):
        pairs = list(noisy_images(60, seed=1, scored=True))
        for _, target in pairs[:20]:
            for i in target.instances:
                i.extra["area"] = 0.6 * float((i.bbox[2:] - i.bbox[:2]).prod())
        values = score(CocoAP(strict_phrases=True), *pairs)
        out, err = capfd.readouterr()
        expected = by_pycocotools(pairs)
        assert 0.1 < values["ap[score=model]"] < 0.9
        assert values == pytest.approx(
            {f"{k}[score=model]": v for k, v in expected.items()}, abs=1e-6
        )
        assert (out, err) == ("", "")

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 10_000))
    def test_equals_pycocotools_on_any_images(self, seed):
        pairs = list(noisy_images(12, seed, scored=True))
        expected = {f"{k}[score=model]": v for k, v in by_pycocotools(pairs).items()}
        assert score(CocoAP(strict_phrases=True), *pairs) == pytest.approx(expected, abs=1e-6)

    def test_equals_pycocotools_without_scores(self):
        """Ties are ranked by image, so the images must come in the metric's own order."""
        pairs = list(noisy_images(40, seed=1, scored=False))
        metric = CocoAP(strict_phrases=True)
        values = score(metric, *pairs)
        order = np.lexsort(metric.state()["keys"].T[::-1])
        expected = by_pycocotools([pairs[i] for i in order])
        assert values == pytest.approx(
            {f"{k}[score=constant]": v for k, v in expected.items()}, abs=1e-6
        )

    def test_many_phrases_are_evaluated_in_parts(self, monkeypatch):
        pairs = list(noisy_images(20, seed=2, scored=True))
        whole = score(CocoAP(strict_phrases=True), *pairs)
        monkeypatch.setattr("rexkit.metrics.coco_evaluation.PHRASES_AT_ONCE", 1)
        assert score(CocoAP(strict_phrases=True), *pairs) == pytest.approx(whole, abs=1e-12)

    def test_perfect_without_scores(self):
        boxes = [box("cup", 0, 0, 40, 40), box("dog", 50, 0, 90, 60)]
        values = score(CocoAP(strict_phrases=True), (pred(*boxes), gt(*boxes)))
        assert values["ap[score=constant]"] == pytest.approx(1.0)
        assert values["ap_small[score=constant]"] == -1.0
        assert list(values) == [f"{name}[score=constant]" for name in METRIC_NAMES]

    def test_one_box_without_score_makes_all_constant(self):
        found = [box("cup", 0, 0, 40, 40, score=0.9), box("cup", 1, 0, 40, 40)]
        assert "ap[score=constant]" in score(
            CocoAP(strict_phrases=True), (pred(*found), gt(found[0]))
        )

    def test_empty_predictions_and_targets(self):
        assert set(CocoAP(strict_phrases=True).compute().values()) == {-1.0}
        assert set(
            score(CocoAP(strict_phrases=True), (pred(box("a", 0, 0, 9, 9)), gt())).values()
        ) == {-1.0}
        assert (
            score(CocoAP(strict_phrases=True), (pred(), gt(box("a", 0, 0, 9, 9))))[
                "ap[score=constant]"
            ]
            == 0.0
        )

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
            pairs.append((pred(*shifted[::2]), gt(*cells)))
        expected = {f"{k}[score=model]": v for k, v in by_pycocotools(pairs).items()}
        assert score(CocoAP(strict_phrases=True), *pairs) == pytest.approx(expected, abs=1e-6)
