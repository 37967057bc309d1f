"""Prediction records: one schema, whoever writes it, read by analyse, compare and reward alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rexkit.cli import main
from rexkit.errors import DataError
from rexkit.evaluation import analyse, compare, record_statistics, replay
from rexkit.formats.phrase_geometries import decode_annotation, encode_annotation
from rexkit.formats.predictions import PredictionRecord, read_predictions, to_line
from rexkit.rewards import RewardError, WeightedRewards
from rexkit.structures import (
    Annotation,
    Example,
    Instance,
    Prediction,
    Problem,
    Question,
    Sample,
)

PUBLIC_KEYS = [
    *("image_path", "dataset_name", "task_name", "question", "categories", "raw_response"),
    *("extracted_predictions", "gt"),
]


def box(*corners: float) -> np.ndarray:
    return np.array(corners, dtype=np.float64)


def record(**changes) -> PredictionRecord:
    cup = Instance("cup", bbox=box(1, 2, 30, 40), score=0.5)
    prediction = Prediction(
        (100, 50), [cup], ["dog"], [Problem("junk", 3, "what")], text="a text", order=["dog", "cup"]
    )
    target = Annotation((100, 50), [Instance("cup", bbox=box(1, 2, 30, 40), ignore=True)], ["dog"])
    fields = dict(
        source="a.png", task="detection", prompt="Detect cup, dog.", phrases=["cup", "dog"]
    )
    return PredictionRecord(**{**fields, "prediction": prediction, "target": target, **changes})


def write(path: Path, *records: PredictionRecord) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(to_line(r.to_dict()) for r in records), "utf-8")
    return path


def test_a_record_comes_back_whole(tmp_path):
    full = dict(
        **dict(image_path="a.png", dataset="COCO", index=3, step=50, resized_size=(56, 28)),
        **dict(truncated=True, num_prompt_tokens=9, num_output_tokens=4, seconds=0.5),
        **dict(reward=0.25, rewards={"box_f1": 0.25}, drawing="images/a.png"),
    )
    written = record(**full)
    (back,) = read_predictions(write(tmp_path / "a.jsonl", written))
    assert {name: getattr(back, name) for name in full} == full
    assert back.to_dict() == written.to_dict()
    assert (back.source, back.prompt, back.phrases) == ("a.png", "Detect cup, dog.", ["cup", "dog"])
    assert back.prediction.phrases == ["dog", "cup"]
    assert back.prediction.instances[0].score == 0.5
    assert (back.prediction.text, back.prediction.problems) == (
        "a text",
        [Problem("junk", 3, "what")],
    )
    assert (back.target.instances[0].ignore, back.target.absent) == (True, ["dog"])
    assert back.location == f"{tmp_path / 'a.jsonl'}:1"


def test_the_first_keys_are_those_of_the_public_evaluation():
    row = record().to_dict("bbox")
    assert list(row)[: len(PUBLIC_KEYS)] == PUBLIC_KEYS
    assert row["extracted_predictions"] == {"dog": [], "cup": [[1, 2, 30, 40]]}
    both = Instance("cup", bbox=box(1, 2, 30, 40), point=box(2, 3))
    row = record(target=Annotation((100, 50), [both])).to_dict("bbox")
    assert row["gt"] == {"cup": [[1, 2, 30, 40]]}


def test_an_image_that_could_not_be_used_has_its_error_and_no_prediction(tmp_path):
    failed = record(prediction=None, target=None, error="no image")
    (back,) = read_predictions(write(tmp_path / "a.jsonl", failed))
    assert (back.error, back.prediction, back.target) == ("no image", None, None)


def test_the_ground_truth_of_an_image_that_could_not_be_used_is_not_read():
    row = {"error": "no image", "gt": {"cup": [[1, 2, 3, 4]]}}
    assert PredictionRecord.from_dict(row).target is None


@pytest.mark.parametrize("name", ["index", "step", "num_output_tokens", "seconds", "reward"])
def test_zero_is_written(name):
    assert record(**{name: 0}).to_dict()[name] == 0


def test_a_record_of_an_example_names_its_image():
    question = Question("Detect cup.", ["cup"], "detection")
    whole, asked = record().target, record().prediction
    sample = Sample(Image.new("RGB", (100, 50)), whole, "train.json:3", "images/a.png")
    made = PredictionRecord.of(Example(sample, question, "", whole), asked, index=4)
    assert (made.image_path, made.source, made.index) == ("images/a.png", "train.json:3", 4)
    assert (made.task, made.prompt, made.phrases) == ("detection", "Detect cup.", ["cup"])
    assert (made.prediction, made.target) == (asked, whole)


@pytest.mark.parametrize(
    "row",
    [
        {"raw_response": None, "raw_output": "a text", "gt": {"cup": []}},
        {"raw_response": "a text", "gt": None, "ground_truth": {"cup": []}},
    ],
)
def test_null_is_passed_over_for_the_other_name(row):
    found = PredictionRecord.from_dict({"image_size": [9, 9], **row})
    assert (found.prediction.text, found.target.absent) == ("a text", ["cup"])


def test_text_is_written_as_it_is():
    assert to_line({"phrase": "café 杯"}) == '{"phrase": "café 杯"}\n'


def test_everything_an_instance_holds_is_written_when_no_geometry_is_named():
    rle = {"size": [2, 3], "counts": "24"}
    both = Instance("a", bbox=box(1, 2, 3, 4), point=box(2, 3), mask=rle, extra={"id": 7})
    person = Instance("person", bbox=box(0, 0, 9, 9), name="person1", score=0.25)
    person.keypoints = {"nose": box(1, 2), "left ear": None}
    plain = [
        Instance("b", polygon=box(0, 0, 9, 0, 9, 9).reshape(3, 2)),
        Instance("b", point=box(1, 2)),
        Instance("b", mask=rle),
    ]
    encoded = encode_annotation(Annotation((9, 9), [both, person, *plain]), None)
    assert encoded["b"] == [[0, 0, 9, 0, 9, 9], [1, 2], rle]
    back = decode_annotation(json.loads(json.dumps(encoded)), (9, 9))
    assert encode_annotation(back, None) == encoded
    first, second, *_ = back.instances
    assert (first.bbox.tolist(), first.point.tolist()) == ([1, 2, 3, 4], [2, 3])
    assert (first.mask, first.extra) == (rle, {"id": 7})
    assert (second.name, second.score, second.keypoints["left ear"]) == ("person1", 0.25, None)


def test_records_of_the_public_wrapper_are_read():
    cup = {"type": "box", "coords": [1, 2, 3, 4]}
    outline = {"type": "polygon", "coords": [[0, 0], [9, 0], [9, 9]]}
    person = {"type": "keypoint", "coords": [0, 0, 9, 9], "keypoints": {"nose": "unvisible"}}
    row = {"raw_output": "text", "image_size": [10, 10], "task": "detection", "prompt": "Detect."}
    found = {"cup": [cup, outline], "person": [{**person, "instance_id": "person1"}]}
    read = PredictionRecord.from_dict({**row, "extracted_predictions": found})
    assert (read.task, read.prompt, read.target) == ("detection", "Detect.", None)
    assert read.prediction.boxes().tolist() == [[1, 2, 3, 4], [0, 0, 9, 9]]
    assert read.prediction.instances[1].polygon.shape == (3, 2)
    assert read.prediction.instances[2].name == "person1"
    with pytest.raises(DataError, match="'circle'; known are box"):
        PredictionRecord.from_dict(
            {**row, "extracted_predictions": {"cup": [{**cup, "type": "circle"}]}}
        )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "bad JSON"),
        ("[" * 200_000, "bad JSON"),
        ("[1]", "must be a JSON object"),
        ('{"raw_response": ""}', "'image_size', .* it has"),
        ('{"image_sise": [9, 9], "raw_response": ""}', "did you mean 'image_size'"),
        ('{"image_size": 9, "raw_response": ""}', "got 9"),
        ('{"image_size": [9, 9], "raw_respons": ""}', "did you mean 'raw_response'"),
        ('{"image_size": [9, 9], "raw_response": "", "gt": {"cup": [3]}}', r"cup\[0\] is 3"),
        ('{"image_size": [9, 9], "raw_response": "", "problems": 3, "gt": 3}', "no prediction"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, reason):
    file = write(tmp_path / "a.jsonl", record())
    with file.open("a") as lines:
        lines.write(f"\n{line}\n")
    with pytest.raises(DataError, match=reason) as caught:
        list(read_predictions(file))
    assert caught.value.source == f"{file}:3"


# What each of the three writers leaves, in its own folders.


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """What ``rexkit predict`` leaves of two images and a file that is none."""
    Image.new("RGB", (64, 48)).save(tmp_path / "in_a.png")
    Image.new("RGB", (64, 48), "red").save(tmp_path / "in_b.png")
    (tmp_path / "in_c.png").write_text("no image")
    out = tmp_path / "out"
    words = ["--categories", "red square, blue circle", "--options", "max_new_tokens=4"]
    files = [str(tmp_path / f"in_{name}.png") for name in "abc"]
    assert main(["predict", *files, "--out", str(out), "--no-images", *words]) == 1
    return out


def test_what_predict_writes_is_analysed_compared_and_rewarded(predicted, capsys):
    records = list(read_predictions(predicted / "predictions.jsonl"))
    assert [r.error is None for r in records] == [True, True, False]
    assert records[0].prediction.image_size == (64, 48)
    assert records[0].image_path == records[0].source

    found = analyse(predicted)
    place = ("detection", "predictions")
    assert (found.samples, found.errors) == ({place: 2}, {place: 1})
    assert found.counts[place]["truncated"] == 2
    assert found.counts[place]["missed"] == 0
    assert main(["analyse", str(predicted)]) == 0
    page = (predicted / "analysis.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2

    statistics = record_statistics(predicted)[place]
    assert (statistics["samples"], statistics["errors"]) == (2, 1)
    assert (statistics["truncated_rate"], statistics["output_tokens_per_sample"]) == (1, 4)
    capsys.readouterr()
    assert main(["compare", str(predicted), str(predicted)]) == 0
    assert "truncated_rate" in capsys.readouterr().out

    file = predicted / "predictions.jsonl"
    (first, _) = replay(file, WeightedRewards(["length"]))
    assert first.total == 1.0
    with pytest.raises(RewardError, match=r"no ground truth.*predictions\.jsonl:1"):
        list(replay(file, WeightedRewards(["box_f1"])))


def test_what_grpo_writes_is_analysed_and_compared(tmp_path):
    for step, reward in ((0, 0.25), (50, 0.75)):
        folder = tmp_path / "completions" / f"step_{step:05d}"
        rewarded = record(step=step, reward=reward, rewards={"box_f1": reward}, index=0)
        write(folder / "completions.jsonl", rewarded, rewarded)
    places = [("detection", "step_00000"), ("detection", "step_00050")]
    assert list(analyse(tmp_path).samples) == places
    assert list(record_statistics(tmp_path / "completions")) == places
    steps = sorted((tmp_path / "completions").iterdir())
    rows = {row.metric: row for row in compare(steps).rows}
    assert rows["reward"].values == rows["rewards/box_f1"].values == [0.25, 0.75]
    assert rows["reward"].best == [False, True]
    assert rows["samples"].values == [2, 2]


def test_a_parser_reads_the_texts_anew(tmp_path):
    file = write(tmp_path / "a.jsonl", record())
    rewards = WeightedRewards(["format"])
    assert [c.total for c in replay(file, rewards)] == [0.0]
    assert [c.total for c in replay(file, rewards, lambda text, size: Prediction(size))] == [1.0]
    words = ["reward", str(file), "--reward", "format", "--parser"]
    assert main([*words, "SpanParser:transcription=inline"]) == 0
    assert main([*words, "SpamParser"]) == 2
