"""What an analysis takes from each record, and what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexkit.evaluation import analyse
from rexkit.formats.predictions import PredictionRecord, to_line
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (100, 100)
TASK = ("detection", "predictions")


def record(*boxes: list[float], phrases: tuple[str, ...] = ("cup",), **more) -> PredictionRecord:
    """A record of one cup, and what was predicted of it."""
    prediction = Prediction(SIZE, [Instance("cup", bbox=box) for box in boxes])
    target = Annotation(SIZE, [Instance("cup", bbox=[0, 0, 10, 10])])
    fields = dict(prediction=prediction, target=target, **more)
    return PredictionRecord("a.png", "detection", "Detect.", [*phrases], **fields)


def failed() -> PredictionRecord:
    return PredictionRecord("b.png", "detection", "Detect.", [], None, error="no image")


@pytest.fixture
def write(tmp_path: Path):
    def lines(*records: PredictionRecord) -> Path:
        (tmp_path / "predictions.jsonl").write_text("".join(to_line(r.to_dict()) for r in records))
        return tmp_path

    return lines


def test_images_that_could_not_be_used_are_counted_beside_the_samples(write):
    found = analyse(write(failed(), record([0, 0, 10, 10]), failed()))
    assert (found.samples[TASK], found.faultless[TASK], found.errors[TASK]) == (1, 1, 2)
    rows = {row[0]: row[1] for row in found.table()[1]}
    assert (rows["samples"], rows["faultless"], rows["errors"]) == ("1", "1", "2")
    assert "errors" not in {row[0] for row in analyse(write(record())).table()[1]}


@pytest.mark.parametrize(("iou", "faultless"), [(0.5, 1), (0.75, 0)])
def test_the_lowest_iou_of_a_correct_box(write, iou, faultless):
    assert analyse(write(record([0, 0, 10, 6])), iou=iou).faultless[TASK] == faultless


def test_phrases_that_were_asked_for_must_be_answered(write):
    found = analyse(write(record([0, 0, 10, 10], phrases=("cup", "dog"))))
    assert found.counts[TASK] == {"not_answered": 1}


def test_the_worst_samples_are_first_and_equal_ones_in_order(write):
    far = [50, 50, 60, 60]
    records = [record(index=0), record(far, far, index=1), record(index=2), record(index=3)]
    found = analyse(write(*records, record([0, 0, 10, 10], index=4)), worst=3)
    assert [case.record.index for case in found.worst] == [1, 0, 2]
