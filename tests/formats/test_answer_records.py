"""Lines of the public ``answer.jsonl``, read by every command that reads records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from rexkit.cli import main
from rexkit.errors import DataError
from rexkit.evaluation import analyse
from rexkit.evaluation.comparison import compare
from rexkit.evaluation.reward_replay import replay
from rexkit.formats.predictions import PredictionRecord, read_predictions
from rexkit.grammar import read
from rexkit.rewards import WeightedRewards

SIZE = (640, 427)
DETECT = "Detect {}. Output the bounding box coordinates in [x0, y0, x1, y1] format."
POLYGON = (
    "Can you detect all the {} in this image in polygon format like [x0, y0, x1, y1, x2, y2 ...] "
    "and then recognize them?"
)


def span(phrase: str, *items: tuple[int, ...]) -> str:
    inside = ",".join("".join(f"<{b}>" for b in bins) for bins in items) or "None"
    return f"<|object_ref_start|>{phrase}<|object_ref_end|><|box_start|>{inside}<|box_end|>"


def pixels(bins: tuple[int, ...]) -> list[float]:
    """As the public scripts compute them."""
    return [b / 999.0 * SIZE[i % 2] for i, b in enumerate(bins)]


def answer(found: dict[str, list[tuple[int, ...]]], question: str, gt, **more) -> dict:
    """A line as evaluation/inference_text_prompt.py writes it."""
    return {
        "image_path": "coco/val2017/a.jpg",
        "extracted_predictions": {p: [pixels(b) for b in items] for p, items in found.items()},
        "gt": gt,
        "question": question,
        "dataset_name": "COCO",
        "raw_response": ", ".join(span(p, *items) for p, items in found.items()),
        "task_name": "detection",
    } | more


BOXES = {"person": [(10, 20, 400, 998), (500, 0, 640, 300)], "dog": []}
LINE = answer(
    BOXES,
    DETECT.format("person, dog, traffic light"),
    {"person": [pixels((10, 20, 400, 998))], "traffic_light": [[5, 5, 20, 30]]},
)


def test_a_line_is_a_record():
    record = PredictionRecord.from_dict(LINE)
    assert record.prediction.image_size == SIZE
    assert record.phrases == ["person", "dog", "traffic light"]
    assert record.prediction.phrases == ["person", "dog"]
    assert record.prediction.absent == ["dog"]
    assert record.prediction.boxes("person").tolist() == [pixels(b) for b in BOXES["person"]]
    assert record.prediction.problems == []
    assert (record.task, record.dataset, record.truncated) == ("detection", "COCO", False)
    assert (record.source, record.image_path) == ("coco/val2017/a.jpg",) * 2
    assert record.target.absent == ["dog"]
    assert record.target.boxes("traffic light").tolist() == [[5, 5, 20, 30]]
    # What the grammar reads from the response is the same.
    again = read(LINE["raw_response"], SIZE)
    assert again.boxes("person").tolist() == pytest.approx(record.prediction.boxes("person"))


@pytest.mark.parametrize("size", [(1, 1), (640, 427), (4000, 3), (12_345, 6_789)])
def test_the_coordinates_tell_the_image_size(size):
    rng = np.random.default_rng(size[0])
    bins = np.sort(rng.integers(0, 1000, (5, 2, 2)), axis=1).reshape(5, 4)
    bins[0, 2:] = 1  # one bin above zero is enough
    for number in (1, 5):
        some = bins[:number]
        found = (some / 999.0 * np.tile(size, 2)).tolist()
        row = {**LINE, "extracted_predictions": {"cup": found}, "gt": None}
        row["raw_response"] = span("cup", *map(tuple, some.tolist()))
        assert PredictionRecord.from_dict(row).prediction.image_size == size


def test_without_coordinates_the_image_tells_its_size(tmp_path, monkeypatch):
    results = tmp_path / "eval" / "results" / "box_eval" / "COCO"
    results.mkdir(parents=True)
    nothing = answer({"person": []}, DETECT.format("person"), {"person": [[1, 2, 30, 40]]})
    file = results / "answer.jsonl"
    file.write_text(json.dumps(nothing) + "\n")
    with pytest.raises(DataError, match=r"a\.jpg is unknown.*run the command where") as error:
        list(read_predictions(file))
    assert error.value.source == f"{file}:1"
    image = tmp_path / "eval" / "coco" / "val2017" / "a.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(image)
    [record] = read_predictions(file)
    assert record.prediction.image_size == (64, 48)
    assert record.image_path == str(image)
    assert record.prediction.absent == ["person"]
    image.unlink()
    (tmp_path / "elsewhere" / "coco" / "val2017").mkdir(parents=True)
    Image.new("RGB", (32, 16)).save(tmp_path / "elsewhere" / "coco" / "val2017" / "a.jpg")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert next(read_predictions(file)).prediction.image_size == (32, 16)


def test_masks_tell_the_size_too():
    mask = coco_mask.encode(np.asfortranarray(np.ones((48, 64), np.uint8)))
    rle = {"size": mask["size"], "counts": mask["counts"].decode()}
    row = answer({"cup": []}, "point to cup.", {"gt_mask": {"cup": [rle]}})
    record = PredictionRecord.from_dict(row)
    assert record.prediction.image_size == record.target.image_size == (64, 48)
    assert record.target.instances[0].mask["size"] == [48, 64]
    # As the script writes it, the masks in place of the ground truth.
    record = PredictionRecord.from_dict({**row, "gt": {"cup": [rle]}})
    assert record.target.phrases == ["cup"]


def test_what_is_asked_is_read_from_the_question():
    def asked(question: str, gt, found=None) -> list[str]:
        found = found or {"cup": [(1, 2, 3, 4)]}
        return PredictionRecord.from_dict(answer(found, question, gt)).phrases

    assert asked("point to cup, mug.", {"cup": [[1, 2, 3, 4]]}) == ["cup", "mug"]
    assert asked(DETECT.format("man, the one left"), {"man, the one left": [[1, 2, 3, 4]]}) == [
        "man, the one left"
    ]
    # A GUI row: one element, its box without a name.
    assert asked(DETECT.format("the icon, on top"), [1, 2, 30, 40]) == ["the icon, on top"]
    assert asked("What is it?", {"cup": [[1, 2, 3, 4]]}) == ["cup"]
    assert asked("What is it?", [1, 2, 30, 40]) == ["cup"]


def test_ocr_has_its_texts():
    outline = (10, 20, 400, 25, 398, 90, 9, 88)
    row = answer(
        {"EXIT": [outline]},
        POLYGON.format("word"),
        {"EXIT": [pixels(outline)], "WAY": [[1.0, 2, 30, 2, 30, 9]]},
    )
    record = PredictionRecord.from_dict(row)
    [found] = record.prediction.instances
    assert (found.phrase, found.text, found.polygon.shape) == ("EXIT", "EXIT", (4, 2))
    assert record.phrases == ["word"]
    assert [(i.phrase, i.text) for i in record.target.instances] == [
        ("word", "EXIT"),
        ("word", "WAY"),
    ]


def test_keypoints():
    keypoints = {"nose": pixels((300, 400)), "left ear": "unvisible"}
    person = {"bbox": pixels((1, 36, 987, 984)), "keypoints": keypoints, "phrase": "person1"}
    text = (
        '```json\n{"person1": {"bbox": " <1> <36> <987> <984> ", "keypoints": {"nose": '
        '" <300> <400> ", "left ear": "unvisible"}}}\n```'
    )
    row = {**LINE, "question": "Can you detect each person?", "raw_response": text}
    row |= {"extracted_predictions": {"person": [person]}, "gt": {"person": [person]}}
    record = PredictionRecord.from_dict(row)
    assert record.prediction.image_size == SIZE
    [found] = record.prediction.instances
    assert (found.name, found.keypoints["left ear"]) == ("person1", None)
    assert record.target.instances[0].keypoints["nose"].tolist() == keypoints["nose"]


def test_visual_prompts_have_the_last_response_only():
    question = 'Given reference boxes {"dog": "<1><2><3><4>"} indicating one or more objects, find'
    row = answer(
        {"person": [(1, 2, 30, 40)], "dog": [(5, 6, 70, 80)]},
        question,
        {"person": [[1, 2, 30, 40]], "dog": [[5, 6, 70, 80]]},
        raw_response=span("dog", (5, 6, 70, 80)),
    )
    del row["task_name"]
    record = PredictionRecord.from_dict(row)
    assert (record.task, record.phrases) == ("visual_prompting", ["person", "dog"])
    assert record.prediction.image_size == SIZE
    assert len(record.prediction.instances) == 2


def test_problems_and_truncation_are_read_from_the_response():
    cut = {**LINE, "raw_response": LINE["raw_response"] + ", <|object_ref_start|>dog"}
    record = PredictionRecord.from_dict(cut)
    assert [problem.kind for problem in record.prediction.problems] == ["truncated"]
    assert record.truncated


def test_a_box_of_the_ground_truth_that_leaves_the_image_is_clamped():
    row = {**LINE, "gt": {"person": [[-20, 10, 700, 100]]}}
    assert PredictionRecord.from_dict(row).target.boxes().tolist() == [[0, 10, 640, 100]]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What the public evaluation leaves of two images."""
    folder = tmp_path / "eval" / "results" / "box_eval" / "COCO"
    folder.mkdir(parents=True)
    image = tmp_path / "eval" / "coco" / "val2017" / "a.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", SIZE, "grey").save(image)
    right = answer(
        {"person": [(10, 20, 400, 998)]},
        DETECT.format("person"),
        {"person": [pixels((10, 20, 400, 998))]},
    )
    lines = "".join(json.dumps(row) + "\n" for row in (LINE, right))
    (folder / "answer.jsonl").write_text(lines)
    return folder


def test_the_commands_read_it(results, capsys):
    place = ("detection", "COCO")
    found = analyse(results)
    assert found.samples == {place: 2}
    assert found.faultless == {place: 1}
    counts = found.counts[place]
    assert (counts["spurious"], counts["missed"], counts["not_answered"]) == (1, 1, 1)
    assert main(["analyse", str(results)]) == 0
    page = (results / "analysis.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    above = analyse(results.parents[1])
    assert above.samples == {("box_eval", "COCO"): 2}

    completions = list(replay(results / "answer.jsonl", WeightedRewards(["box_f1"])))
    assert completions[1].total == 1.0
    assert 0 < completions[0].total < 1
    assert main(["reward", str(results / "answer.jsonl"), "--reward", "box_f1"]) == 0
    assert "2 completions" in " ".join(capsys.readouterr().out.split())

    rows = {row.metric: row.values for row in compare([results, results]).rows}
    assert rows["samples"][0] == 2
    assert rows["instances_per_sample"][0] == 1.5
    assert main(["compare", str(results), str(results)]) == 0


def test_parts_of_a_run_are_one_result(results):
    (results / "answer.jsonl").rename(results / "answer_0_500.jsonl")
    (results / "answer_500_-1.jsonl").write_text((results / "answer_0_500.jsonl").read_text())
    assert analyse(results).samples == {("detection", "COCO"): 4}
