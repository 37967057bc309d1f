"""The images of a test are found again, and a whole analysis goes from results to page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from scripted_backend import Scripted

from rexkit.cli import main
from rexkit.config import load_config
from rexkit.config_files import write_plain
from rexkit.errors import ConfigError, UserError
from rexkit.evaluation.evaluator import evaluate
from rexkit.evaluation.sample_images import SampleImages
from rexkit.examples import build_examples
from rexkit.formats.predictions import PredictionRecord, read_predictions

CONFIG = """
shapes = dict(type="ShapesDataset", size=4)
test_data = [
    dict(dataset=shapes, task=dict(type="GroundingTask"), name="shapes"),
    dict(dataset=dict(shapes, seed=1), task=dict(type="PointingTask")),
]
"""


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """What `rexkit test` leaves of a scripted model that stops halfway through each response."""
    (tmp_path / "job.py").write_text(CONFIG)
    config = load_config(tmp_path / "job.py")
    folder = tmp_path / "run"
    folder.mkdir()
    write_plain(config.to_dict(), folder / "config.json")
    examples = build_examples(config.test_data, "test_data", config.seed, False)
    backend = Scripted(examples, lambda text: text[: len(text) // 2])
    evaluate(backend, examples, out_dir=folder)
    return folder


def records(folder: Path, place: str) -> list[PredictionRecord]:
    return list(read_predictions(folder / place / "predictions.jsonl"))


def test_synthetic_images_are_drawn_again_by_the_config(tested):
    config = load_config(tested / "config.json")
    examples = build_examples(config.test_data, "test_data", config.seed, False)
    images = SampleImages(tested)
    for record in records(tested, "box_eval/shapes") + records(tested, "point_eval/Shapes"):
        assert images.find(record).tobytes() == examples[record.index].image.tobytes()
        assert record.prompt == examples[record.index].prompt


def test_a_training_keeps_its_config_above(tested):
    shutil.move(tested / "box_eval", tested / "after" / "box_eval")
    record = records(tested, "after/box_eval/shapes")[0]
    assert SampleImages(tested / "after").find(record).size == (128, 128)


def test_without_a_config_the_file_is_opened(tested, tmp_path):
    (tested / "config.json").unlink()
    record = records(tested, "box_eval/shapes")[0]
    with pytest.raises(UserError, match=r"no config\.json"):
        SampleImages(tested).find(record)
    Image.new("RGB", (128, 128), "red").save(tmp_path / "a.png")
    record.image_path = str(tmp_path / "a.png")
    assert SampleImages(tested).find(record).getpixel((0, 0)) == (255, 0, 0)
    Image.new("RGB", (12, 12)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="12"):
        SampleImages(tested).find(record)


def test_another_sample_is_not_taken_for_the_tested_one(tested):
    config = (tested / "config.json").read_text()
    (tested / "config.json").write_text(
        config.replace('"size": 4', '"size": 4, "styles": ["shape"]')
    )
    with pytest.raises(UserError, match="another sample"):
        SampleImages(tested).find(records(tested, "box_eval/shapes")[0])


def test_from_results_to_page(tested, capsys):
    assert main(["analyse", str(tested), "--worst", "3"]) == 0
    shown = capsys.readouterr().out
    assert "box_eval/shapes" in shown
    assert "unparseable" in shown
    page = (tested / "analysis.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("<section>") == 3


def test_control_characters_and_markup_of_records_do_not_reach_the_terminal(tested, capsys):
    [file] = tested.glob("box_eval/shapes/predictions.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row["source"] = "\x1b[2J[/b]"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["analyse", str(tested)]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b[2J[/b]" in shown
    assert "\x1b[2J" not in shown


def test_looking_executes_nothing_of_the_folder(tested, capsys, monkeypatch):
    evil = f"open({str(tested / 'ran')!r}, 'w')"
    (tested / "config.py").write_text(evil)
    (tested / "evil.py").write_text(evil)
    config = json.loads((tested / "config.json").read_text())
    config["custom_imports"] = {"imports": ["evil"]}
    (tested / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tested)
    assert main(["analyse", "."]) == 0
    (tested / "config.json").unlink()
    assert main(["analyse", str(tested)]) == 0
    for damaged in ("[", "[]", '{"test_data": 5}', '{"test_data": {"dataset": 1}, "seed": []}'):
        (tested / "config.json").write_text(damaged)
        assert main(["analyse", str(tested)]) == 0
    assert not (tested / "ran").exists()


def test_files_are_named_where_images_have_one_each(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    entry = {"bbox": [1, 1, 5, 5], "phrase": "cup"}
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": "a.png", "boxes": [entry]}))
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco))
    for kind, file in (("JsonlDataset", "a.jsonl"), ("CocoDataset", "a.json")):
        dataset = {"type": kind, "ann_file": str(tmp_path / file)}
        source = {"dataset": dataset, "task": {"type": "GroundingTask"}}
        examples = build_examples(source, "test_data", 0, False)
        assert examples[0].image_path == str(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a/b", "..", "/", 3])
def test_a_name_must_be_one_of_a_folder(name):
    source = dict(dataset=dict(type="ShapesDataset"), task=dict(type="GroundingTask"), name=name)
    with pytest.raises(ConfigError, match=r"test_data\.name"):
        build_examples(source, "test_data", 0, False)
