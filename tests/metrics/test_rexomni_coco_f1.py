"""COCO and LVIS as the public evaluation computes them: as its scripts did, and by hand."""

from __future__ import annotations

import json

import pytest
from annotation_builders import box, pred, score

from benchmarks.fidelity.coco_evaluation_figures import drawn_coco_set, our_coco_figures
from rexkit.errors import ConfigError
from rexkit.metrics import RexOmniCocoF1
from rexkit.structures import Annotation

# Computed by evaluation/metrics/coco_lvis_metric.py and fastevaluate of IDEA-Research/Rex-Omni at
# 478e44f, on what `drawn_coco_set` draws; `python -m benchmarks.fidelity.evaluation` runs both
# again.
PUBLIC = {
    "COCO": {
        "precision@0.5": 0.6924887037658777,
        "recall@0.5": 0.7246188040433565,
        "f1@0.5": 0.7081895107762193,
        "precision@0.95": 0.40918321092757887,
        "recall@0.95": 0.41355924978687125,
        "f1@0.95": 0.41135959262305405,
        "precision@0.5:0.95": 0.5405408019272926,
        "recall@0.5:0.95": 0.62665144318597,
        "f1@0.5:0.95": 0.5804196781581076,
    },
    "LVIS": {
        "precision@0.5": 0.7923337293560481,
        "recall@0.5": 0.8110935629609607,
        "f1@0.5": 0.8016039026863275,
        "precision@0.95": 0.5030900480802019,
        "recall@0.95": 0.4861905497419263,
        "f1@0.95": 0.49449595510976335,
        "precision@0.5:0.95": 0.6174795217541075,
        "recall@0.5:0.95": 0.6964949479347672,
        "f1@0.5:0.95": 0.6546114514032303,
    },
}


@pytest.mark.parametrize("name", PUBLIC)
def test_equals_the_public_scripts(name, tmp_path):
    lvis = name == "LVIS"
    file, records = drawn_coco_set(tmp_path, lvis, 40, 3)
    ours = our_coco_figures(file, records, lvis)
    assert ours == pytest.approx(PUBLIC[name], abs=1e-9)
    assert len(ours) == 9


@pytest.fixture
def ann_file(tmp_path):
    """Two images and three categories; the second image has no cup."""
    names = {1: "cup", 2: "hot dog", 3: "bus"}
    rows = [(1, 1, 0, 0), (1, 2, 20, 0), (2, 2, 0, 0), (2, 2, 20, 0)]
    data = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": [x, y, 10, 10], "area": 100}
            for n, (i, c, x, y) in enumerate(rows, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in names.items()],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(data))
    return file


def target(number: int) -> Annotation:
    return Annotation((100, 100), extra={"image_path": f"coco/val/{number}.jpg"})


def values(metric, *pairs) -> dict[str, float]:
    found = score(metric, *pairs)
    return {name.removeprefix("rexomni_coco_"): value for name, value in found.items()}


def test_by_hand(ann_file):
    first = pred(box("Cup", 0, 0, 10, 10), box("hot_dog", 20, 0, 30, 10))
    second = pred(box("hot dog", 0, 0, 10, 10), box("cup", 50, 50, 60, 60), box("cat", 0, 0, 9, 9))
    found = values(RexOmniCocoF1(ann_file), (first, target(1)), (second, target(2)))
    # The cup of the second image and the cat cost nothing, and the bus is in no image.
    assert found["precision@0.5"] == pytest.approx(1)
    assert found["recall@0.5"] == pytest.approx((1 + 2 / 3) / 2)
    # An image that was not tested is missed.
    part = values(RexOmniCocoF1(ann_file), (first, target(1)))
    assert part["recall@0.5"] == pytest.approx((1 + 1 / 3) / 2)


def test_parts_are_merged(ann_file):
    cup, dog = pred(box("cup", 0, 0, 10, 10)), pred(box("hot dog", 0, 0, 10, 10))
    whole, other = RexOmniCocoF1(ann_file), RexOmniCocoF1(ann_file)
    expected = score(RexOmniCocoF1(ann_file), (cup, target(1)), (dog, target(2)))
    whole.add(cup, target(1))
    other.add(dog, target(2))
    whole.merge(other)
    assert whole.compute() == expected


def test_what_is_missing_is_named(ann_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json; RexOmniCocoF1 needs"):
        RexOmniCocoF1(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="needs the name of each image"):
        RexOmniCocoF1(ann_file).add(pred(), Annotation((9, 9)))
    with pytest.raises(ConfigError, match=r"has no image '7\.jpg', which was tested"):
        score(RexOmniCocoF1(ann_file), (pred(box("cup", 0, 0, 9, 9)), target(7)))
