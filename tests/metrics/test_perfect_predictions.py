"""Metrics of the ground truth of real data as prediction: perfect up to the bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rexkit.datasets import CocoDataset, InstanceMaskDataset
from rexkit.grammar import to_bins, to_pixels
from rexkit.registry import METRICS, PARSERS
from rexkit.tasks import GroundingTask, PointingTask, VisualPromptTask

# COCO ranks 100 predictions per phrase and image; one image has 101 nuclei.
LOST = {"nuclei": 0.01, "bccd train": 0, "bccd val": 0, "gui": 0}


def sources(shared_data):
    bccd, gui = shared_data / "bccd", shared_data / "gui"
    return {
        "bccd train": CocoDataset(bccd / "train.json", bccd / "train", exhaustive=True),
        "bccd val": CocoDataset(bccd / "val.json", bccd / "val", exhaustive=True),
        "gui": CocoDataset(gui / "annotations.json", gui / "images"),
        "nuclei": InstanceMaskDataset(shared_data / "pointing" / "points.jsonl"),
    }


def predict_the_ground_truth(task, dataset, training):
    """Values against the ground truth and against its bins; predictions with their examples."""
    parse = PARSERS.build(task.parser)
    exact, binned = ([METRICS.build({"type": name}) for name in task.metrics] for _ in range(2))
    pairs = []
    for i in range(len(dataset)):
        example = task.example(dataset[i], np.random.default_rng(i), training)
        prediction = parse(example.response, example.target.image_size)
        assert not prediction.problems
        assert prediction.phrases == example.phrases
        for metric in exact:
            metric.add(prediction, example.target)
        for metric in binned:
            metric.add(prediction, in_bins(example.target))
        pairs.append((prediction, example))
    return *(
        {k: v for m in side for k, v in m.compute().items()} for side in (exact, binned)
    ), pairs


def in_bins(target):
    """The ground truth rounded to bins."""
    size = target.image_size
    return replace(
        target,
        instances=[
            replace(i, bbox=None if i.bbox is None else to_pixels(to_bins(i.bbox, size), size))
            for i in target.instances
        ],
    )


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
@pytest.mark.parametrize("training", [False, True])
def test_boxes(shared_data, name, training):
    values, binned, pairs = predict_the_ground_truth(
        GroundingTask(), sources(shared_data)[name], training
    )
    assert binned["f1@0.95"] == binned["precision@0.95"] == binned["recall@0.95"] == 1.0
    for value in ("ap", "ar100"):
        assert binned[f"{value}[score=constant]"] == pytest.approx(1.0, abs=1e-6 + LOST[name])
    # Nuclei of 20 pixels are 7 bins wide: to IoU 0.75 a bin is much.
    assert values["f1@0.5"] == values["rejection_accuracy"] == 1.0
    assert values["f1@0.75"] > 0.98
    for prediction, example in pairs:
        for phrase in example.phrases:
            off = np.abs(prediction.boxes(phrase) - example.target.boxes(phrase))
            assert (off <= np.tile(example.target.image_size, 2) / np.float64(999) + 1e-9).all()


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
def test_points(shared_data, name):
    values, _, pairs = predict_the_ground_truth(PointingTask(), sources(shared_data)[name], False)
    assert values["accuracy@0.01"] == values["accuracy@0.05"] == 1.0
    assert values["counting_mae"] == values["counting_relative"] == 0.0
    assert values["f1"] == pytest.approx(1.0, abs=0.02 if name == "nuclei" else 0)
    if name == "nuclei":
        # A bin is 0.7 pixels: a point on the rim of a mask may fall beside it.
        assert values["f1_in_mask"] == values["f1"]
        assert values["f1_in_box"] >= values["f1_in_mask"]
        assert sum(len(prediction.points()) for prediction, _ in pairs) == 316
    else:
        assert "f1_in_mask" not in values


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
@pytest.mark.parametrize("training", [False, True])
def test_visual_prompts(shared_data, name, training):
    values, binned, pairs = predict_the_ground_truth(
        VisualPromptTask(), sources(shared_data)[name], training
    )
    for end in ("", "_without_references"):
        assert binned[f"f1@0.95{end}"] == values[f"f1@0.5{end}"] == 1.0
        assert binned[f"ap[score=constant]{end}"] == pytest.approx(1.0, abs=1e-6 + LOST[name])
    several = [e for _, e in pairs if len(e.target.instances) > 1]
    assert several
    for example in several:
        shown = [i.extra["reference"] for i in example.target.instances]
        assert 1 <= sum(shown) <= 3
        assert not all(shown)
