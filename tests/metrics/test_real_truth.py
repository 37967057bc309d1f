"""The chain on real data: the truth, encoded and read again, scores as perfect as bins allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rexkit.datasets import CocoDataset, InstanceMaskDataset
from rexkit.grammar import to_bins, to_pixels
from rexkit.registry import METRICS, PARSERS
from rexkit.tasks import GroundingTask, PointingTask, VisualPromptTask

# COCO looks at 100 answers a phrase and image; one image has 101 nuclei.
LOST = {"nuclei": 0.01, "bccd train": 0, "bccd val": 0, "gui": 0}


def sources(shared_data):
    bccd, gui = shared_data / "bccd", shared_data / "gui"
    return {
        "bccd train": CocoDataset(bccd / "train.json", bccd / "train", exhaustive=True),
        "bccd val": CocoDataset(bccd / "val.json", bccd / "val", exhaustive=True),
        "gui": CocoDataset(gui / "annotations.json", gui / "images"),
        "nuclei": InstanceMaskDataset(shared_data / "pointing" / "points.jsonl"),
    }


def answered_with_the_truth(task, dataset, training):
    """Figures against the truth, figures against its bins, and answers with their examples."""
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


def in_bins(truth):
    """The truth as far as an answer can tell."""
    size = truth.image_size
    return replace(
        truth,
        instances=[
            replace(i, bbox=None if i.bbox is None else to_pixels(to_bins(i.bbox, size), size))
            for i in truth.instances
        ],
    )


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
@pytest.mark.parametrize("training", [False, True])
def test_boxes(shared_data, name, training):
    figures, binned, pairs = answered_with_the_truth(
        GroundingTask(), sources(shared_data)[name], training
    )
    assert binned["f1@0.95"] == binned["precision@0.95"] == binned["recall@0.95"] == 1.0
    for figure in ("ap", "ar100"):
        assert binned[f"{figure}[score=constant]"] == pytest.approx(1.0, abs=1e-6 + LOST[name])
    # Nuclei of 20 pixels are 7 bins wide: to IoU 0.75 a bin is much.
    assert figures["f1@0.5"] == figures["rejection_accuracy"] == 1.0
    assert figures["f1@0.75"] > 0.98
    for prediction, example in pairs:
        for phrase in example.phrases:
            off = np.abs(prediction.boxes(phrase) - example.target.boxes(phrase))
            assert (off <= np.tile(example.target.image_size, 2) / np.float64(999) + 1e-9).all()


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
def test_points(shared_data, name):
    figures, _, pairs = answered_with_the_truth(PointingTask(), sources(shared_data)[name], False)
    assert figures["accuracy@0.01"] == figures["accuracy@0.05"] == 1.0
    assert figures["counting_mae"] == figures["counting_relative"] == 0.0
    assert figures["f1"] == pytest.approx(1.0, abs=0.02 if name == "nuclei" else 0)
    if name == "nuclei":
        # A bin is 0.7 pixels: a point on the rim of a mask may fall beside it.
        assert figures["f1_in_mask"] == figures["f1"]
        assert figures["f1_in_box"] >= figures["f1_in_mask"]
        assert sum(len(prediction.points()) for prediction, _ in pairs) == 316
    else:
        assert "f1_in_mask" not in figures


@pytest.mark.parametrize("name", ["bccd train", "bccd val", "gui", "nuclei"])
@pytest.mark.parametrize("training", [False, True])
def test_visual_prompts(shared_data, name, training):
    figures, binned, pairs = answered_with_the_truth(
        VisualPromptTask(), sources(shared_data)[name], training
    )
    for end in ("", "_without_references"):
        assert binned[f"f1@0.95{end}"] == figures[f"f1@0.5{end}"] == 1.0
        assert binned[f"ap[score=constant]{end}"] == pytest.approx(1.0, abs=1e-6 + LOST[name])
    several = [e for _, e in pairs if len(e.target.instances) > 1]
    assert several
    for example in several:
        shown = [i.extra["reference"] for i in example.target.instances]
        assert 1 <= sum(shown) <= 3
        assert not all(shown)
