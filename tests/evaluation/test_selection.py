"""Selection of images: what a model is unsure of, unlike what is there, and records that go on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_builders import box, point, pred
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.cli import main
from rexkit.datasets import PredictionsDataset, ShapesDataset
from rexkit.evaluation import select_images
from rexkit.evaluation.selection import select, uncertainties
from rexkit.evaluation.uncertainty import Uncertainty, agreement
from rexkit.formats.predictions import PredictionRecord, to_line
from rexkit.structures import Prediction


def test_uncertainty_is_of_scores_and_of_disagreement() -> None:
    sure = pred(box("cup", 0, 0, 40, 40, score=0.9), box("dog", 50, 50, 90, 90, score=0.7))
    half = pred(box("Cup", 0, 0, 40, 38, score=0.4), box("dog", 0, 50, 20, 90, score=0.4))
    assert Uncertainty.of([sure]).doubt == pytest.approx(0.2)
    assert np.isnan(Uncertainty.of([sure]).disagreement)
    both = Uncertainty.of([sure, half])
    assert (both.doubt, both.disagreement) == (pytest.approx(0.4), pytest.approx(0.5))
    assert agreement(pred(), pred()) == 1
    assert agreement(pred(point("cup", 5, 5)), pred(box("cup", 0, 0, 9, 9))) == 1
    assert agreement(pred(point("cup", 50, 5)), pred(point("cup", 5, 5))) == 0


def test_what_is_not_known_of_an_image_puts_it_in_the_middle() -> None:
    nan = float("nan")
    found = [Uncertainty(0.1, nan), Uncertainty(nan, nan), Uncertainty(0.9, nan)]
    assert uncertainties(found).tolist() == [0, 0.5, 1]
    assert uncertainties([Uncertainty(nan, nan)] * 2).tolist() == [0.5, 0.5]
    assert uncertainties([Uncertainty(0.3, 0.0), Uncertainty(0.3, 1.0)]).tolist() == [0.25, 0.75]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(1, 14), st.floats(0, 1), st.integers(0, 99))
def test_a_selection_has_each_image_once(n: int, budget: int, diversity: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unsure, points = rng.random(n), rng.random((n, 3))
    taken = select(unsure, points, budget, diversity, rng.random((2, 3)))
    assert len({*taken}) == len(taken) == min(budget, n)
    longer = select(unsure, points, budget + 1, diversity, rng.random((0, 3)))
    assert select(unsure, points, budget, diversity) == longer[:budget]
    if diversity == 0:
        assert unsure[taken].tolist() == sorted(unsure, reverse=True)[:budget]


def test_annotated_images_are_far_from_what_is_selected() -> None:
    points = [[0.0], [0.5], [1.0]]
    assert select([0.5, 0.5, 0.5], points, 1, annotated=[[0.0]]) == [2]
    assert select([0.5, 0.5, 0.5], points, 2, annotated=[[1.0]]) == [0, 1]


def write(path: Path, *rows: tuple[str | None, Prediction | None]) -> Path:
    lines = []
    for name, prediction in rows:
        record = PredictionRecord(
            name or "frame", "detection", "Detect cup.", ["cup"], prediction, image_path=name
        )
        record.error = None if prediction else "broken"
        lines.append(to_line(record.to_dict()))
    path.write_text("".join(lines))
    return path


def colored(folder: Path, name: str, tone: int) -> str:
    Image.new("RGB", (100, 100), (tone, tone, tone)).save(folder / name)
    return str(folder / name)


def test_records_of_two_runs_are_joined_by_image(tmp_path: Path) -> None:
    a, b, c = (colored(tmp_path, f"{n}.png", t) for n, t in (("a", 0), ("b", 90), ("c", 250)))
    cup = pred(box("cup", 0, 0, 40, 40, score=0.8))
    other = pred(box("cup", 50, 50, 90, 90, score=0.8))
    lost = str(tmp_path / "lost.png")
    one = write(tmp_path / "1.jsonl", (a, cup), (b, cup), (c, cup), (lost, cup), (None, cup))
    two = write(tmp_path / "2.jsonl", (a, cup), (b, other), (c, cup), ("d.png", None))
    found = select_images([one, two], budget=1, diversity=0)
    assert found.images == [a, b, c]
    assert found.taken == [1]
    assert found.failures.keys() == {lost, "frame", "d.png"}
    found.write(tmp_path / "out")
    assert (tmp_path / "out" / "selected.txt").read_text() == f"{b}\n"
    (row,) = (tmp_path / "out" / "selected.jsonl").read_text().splitlines()
    assert json.loads(row)["extracted_predictions"]["cup"][0]["bbox"] == [0, 0, 40, 40]
    with (tmp_path / "out" / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["selected"], r["image"]) for r in rows] == [("1", b), ("", a), ("", c)]
    assert rows[0]["disagreement"] == "1.0000"
    assert select_images([one, two], 1, 0, annotated=[b]).taken == [0]


def test_images_are_predicted_in_two_wordings_and_selected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number, sample in enumerate(ShapesDataset(size=3, seed=5)):
        sample.image.save(images / f"{number}.png")
    words = ["select", str(images), "--budget", "2", "--out", str(tmp_path / "out")]
    words += ["--categories", "red circle, blue square"]
    assert main(words) == 0
    assert "2 of 3 images selected, 0 could not be used" in " ".join(
        capsys.readouterr().err.split()
    )
    first, second = (
        json.loads((tmp_path / "out" / f"{n}_wording" / "predictions.jsonl").open().readline())
        for n in ("first", "second")
    )
    assert first["categories"] == second["categories"][::-1]
    assert first["question"].split(" ")[0] != second["question"].split(" ")[0]
    # The records are read as they are, too, and become a data set with scores.
    folders = [str(tmp_path / "out" / f"{n}_wording") for n in ("first", "second")]
    assert main(["select", *folders, "--budget", "2", "--out", str(tmp_path / "again")]) == 0
    again, before = (tmp_path / n / "selected.txt" for n in ("again", "out"))
    assert again.read_text() == before.read_text()
    target = tmp_path / "coco"
    selected = str(tmp_path / "out" / "selected.jsonl")
    assert main(["convert", selected, str(target), "--to", "coco"]) == 0
    written = json.loads((target / "annotations" / "instances_default.json").read_text())
    assert len(written["images"]) == 2
    assert all(0 < entry["score"] <= 1 for entry in written["annotations"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "0"], "must be at least 1"),
        (["--budget", "1", "--diversity", "2"], "must be a number from 0 to 1"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["select", "x.png", "--out", "out", *words])
    assert message in capsys.readouterr().err


def test_images_and_records_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = colored(tmp_path, "a.png", 0)
    words: list[Any] = ["select", image, str(tmp_path / "r.jsonl"), "--budget", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "give one kind" in " ".join(capsys.readouterr().err.split())


def test_predictions_are_a_dataset(tmp_path: Path) -> None:
    image = colored(tmp_path, "a.png", 0)
    odd = pred(box("", 1, 1, 5, 5), box("cup", 2, 2, 9, 9, score=0.25), absent=["dog", "<12>"])
    rows = write(tmp_path / "p.jsonl", (image, odd), (None, odd), ("b.png", None))
    dataset = PredictionsDataset(rows, on_error="skip")
    (sample,) = dataset
    (cup,) = sample.annotation.instances
    assert (cup.phrase, cup.score, sample.annotation.absent) == ("cup", 0.25, ["dog"])
    reasons = [error.reason for error in dataset.skipped]
    assert "frame has no file of its own" in reasons[0]
    assert "could not be predicted: broken" in reasons[1]
