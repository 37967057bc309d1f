"""Runs: everything that a config names is built and checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import TrainerCallback

from rexkit import jobs, plugins
from rexkit.cli import main
from rexkit.config import load_config
from rexkit.errors import ConfigError, DataError
from rexkit.registry import VISUALIZERS
from rexkit.run import Run
from rexkit.visualizers import PillowVisualizer

CONFIG = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1)
train_data = dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask"))
val_data = dict(dataset=dict(type="ShapesDataset", size=2), task=dict(type="GroundingTask"))
test_data = dict(dataset=dict(type="ShapesDataset", size=2), task=dict(type="GroundingTask"))
trainer = dict(type="SFTTrainer", max_steps=1, per_device_train_batch_size=4, save_strategy="no",
               disable_tqdm=True)
backend = dict(type="TransformersBackend", max_new_tokens=4)
num_images = 1
"""
COCO = dict(type="CocoDataset", ann_file="/nowhere/val.json", image_dir="/nowhere")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "job.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def never_trained(monkeypatch):
    """Fail if training starts."""
    fit = "rexkit.training.trainer_mixin.TrainerMixin.fit"
    monkeypatch.setattr(fit, lambda *args, **options: pytest.fail("training started"))


def files_in(folder: Path) -> list[Path]:
    """Files; transformers makes an empty folder when a trainer is built."""
    return [path for path in folder.rglob("*") if path.is_file()]


def run_of(file: Path, overrides: dict[str, Any], job: str = "train") -> Run:
    config = load_config(file, {"work_dir": str(file.parent / "work"), **overrides})
    return Run.from_config(config, job)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"test_data.dataset": COCO},
            r"^test_data\.dataset\.ann_file: there is no file /nowhere/val\.json$",
        ),
        (
            {"val_data.dataset": COCO},
            r"^val_data\.dataset\.ann_file: there is no file /nowhere/val\.json$",
        ),
        (
            {"metrics": [dict(type="OCRHmean", geometry="box")]},
            r"^metrics\.0\.geometry: must be .*'polygon'.*, got 'box'",
        ),
        ({"train_data.dataset.colors": ["octarine"]}, r"^train_data\.dataset\.colors: unknown"),
        ({"trainer.coord_sigma": -1}, r"^trainer\.coord_sigma must not be negative, got -1$"),
        ({"trainer.coord_sigma": (2.0, 0.0)}, r"^trainer\.coord_sigma: a changing spread"),
        ({"trainer.lr_scheduler_type": "cosin"}, r"^trainer: cosin is not a valid"),
        (
            {"model.freeze": ["head"]},
            r"^model\.freeze: expected a list of 'vision_tower' or .*got \['head'\]$",
        ),
        ({"model.weights": "/nowhere/w"}, r"^model: no weights at /nowhere/w"),
        ({"visualizer": dict(type="PillowVisualizer", line=1)}, r"^visualizer\.line: "),
        ({"backend.max_new_tokens": 0}, r"^backend.*max_new_tokens"),
        (
            {"backend.presence": "marginl"},
            r"^backend\.presence: must be 'token' or 'marginal', got 'marginl'; did you mean 'marg",
        ),
        ({"train_data.parser": dict(type="SpanParser", transcription="txt")}, r"\.transcription: "),
        ({"trainer.attention": "flx"}, r"^trainer\.attention: must be .*; did you mean 'flex'"),
        ({"trainer.max_row_tokens": 0}, r"^trainer\.max_row_tokens: must be 1 or more, got 0$"),
        ({"seed": -1}, r"^seed: must be a whole number below 2\*\*32, got -1$"),
        ({"seed": 1.5}, r"^seed: must be a whole number .*got 1\.5$"),
        ({"work_dir": 5}, r"^work_dir: must be a path, got 5$"),
        ({"trainer": None}, r"^the config has no 'trainer'"),
    ],
)
@pytest.mark.usefixtures("never_trained")
def test_what_is_wrong_is_found_before_training_and_names_its_key(file, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_of(file, overrides)
    assert files_in(file.parent / "work") == []


def test_all_errors_are_reported_at_once(file):
    overrides = {
        "train_data.dataset.colors": ["octarine"],
        "train_data.weight": 0,
        "test_data.dataset": COCO,
        "metrics": [dict(type="OCRHmean", geometry="box")],
        "model.freeze": ["head"],
    }
    with pytest.raises(ConfigError) as error:
        run_of(file, overrides)
    keys = [line.partition(": ")[0] for line in str(error.value).splitlines()[1:]]
    assert keys == [
        "- train_data.dataset.colors",
        "- train_data.weight",
        "- test_data.dataset.ann_file",
        "- model.freeze",
    ]
    with pytest.raises(ConfigError) as error:
        run_of(file, {n: overrides[n] for n in ("metrics",)} | {"trainer.coord_sigma": -1})
    assert "- metrics.0.geometry: " in str(error.value)
    assert "- trainer.coord_sigma must" in str(error.value)


def test_an_example_of_every_source_is_made(file):
    shapes = dict(type="ShapesDataset", size=2)
    grounding = dict(dataset=shapes, task=dict(type="GroundingTask"))
    empty = dict(dataset=dict(shapes, num_objects=(0, 0)), task=dict(type="VisualPromptTask"))
    with pytest.raises(DataError, match=r"^train_data\.1: ShapesDataset\(seed=0\)\[0\]"):
        run_of(file, {"train_data": [grounding, empty]})
    run = run_of(file, {"train_data": [grounding, dict(grounding, weight=3.0, name="mine")]})
    assert [s.key for s in run.sources] == [
        *("train_data.0", "train_data.1", "val_data", "test_data")
    ]
    assert [s.name for s in run.sources[:2]] == ["Shapes", "mine"]
    assert all(s.prompts[0].startswith("Detect") for s in run.sources[2:])
    assert all("<|box_start|>" in s.responses[0] for s in run.sources)


def test_a_test_needs_test_data(file):
    with pytest.raises(ConfigError, match=r"^the config has no 'test_data'"):
        run_of(file, {"test_data": None}, "test")


def test_the_work_dir_of_the_caller_replaces_that_of_the_config(file, tmp_path):
    config = load_config(file, {"work_dir": str(tmp_path / "work")})
    assert Run.from_config(config, "test").work_dir == tmp_path / "work"
    assert Run.from_config(config, "test", None, tmp_path / "mine").work_dir == tmp_path / "mine"


def test_the_parser_of_the_config_is_that_of_every_source(file):
    run = run_of(file, {"parser": dict(type="SpanParser", transcription="inline")})
    assert [s.source.parser.transcription for s in run.sources] == ["inline"] * 3


def test_a_checkpoint_is_loaded_with_the_prompt_and_dtype_of_the_config(file, checkpoint):
    model = dict(
        type="PretrainedVLM", path="/nowhere", dtype="bfloat16", system_prompt="You see boxes."
    )
    config = load_config(file, {"work_dir": str(file.parent / "work"), "model": model})
    run = Run.from_config(config, "test", str(checkpoint))
    assert run.vlm.model.dtype == torch.bfloat16
    assert run.vlm.encoder.system_prompt == "You see boxes."


def test_a_server_gets_the_checkpoint_as_model_and_cannot_be_trained_with(file):
    backend = dict(type="OpenAIBackend", model="one", base_url="http://127.0.0.1:1/v1")
    config = load_config(file, {"work_dir": str(file.parent / "work"), "backend": backend})
    assert Run.from_config(config, "test").backend.body["model"] == "one"
    assert Run.from_config(config, "test", "other").backend.body["model"] == "other"
    with pytest.raises(ConfigError, match=r"^backend\.type: OpenAIBackend does not generate with"):
        Run.from_config(config, "train")


def test_the_trainer_has_the_callbacks_of_plugins(file):
    callback = TrainerCallback()

    class Plugin:
        @plugins.hook
        def rexkit_callbacks(self, config):
            return [callback]

    manager, plugin = plugins._manager(), Plugin()
    manager.register(plugin)
    try:
        run = run_of(file, {})
    finally:
        manager.unregister(plugin)
    assert callback in run.trainer.callback_handler.callbacks


def test_the_steps_of_a_run(file):
    assert run_of(file, {}).steps == 1
    options = {"trainer.max_steps": -1, "trainer.num_train_epochs": 3}
    assert run_of(file, options | {"trainer.gradient_accumulation_steps": 2}).steps == 3
    assert run_of(file, {"trainer.max_steps": -1, "trainer.num_train_epochs": 0.75}).steps == 2
    assert run_of(file, {"seed": 7}).trainer.args.seed == 7


def test_train_and_test_read_a_run_and_draw_with_its_visualizer(file, tmp_path):
    @VISUALIZERS.register_module()
    class VisualizerOfATest(PillowVisualizer):
        """Draws one colour."""

        def side_by_side(self, *args, **options):
            return Image.new("RGB", (7, 5))

    try:
        run = run_of(file, {"visualizer": dict(type="VisualizerOfATest")})
        assert files_in(tmp_path / "work") == []
        metrics = jobs.train(run)
        assert "f1@0.5" in metrics
        (drawn,) = (tmp_path / "work" / "after" / "images").glob("*.png")
        assert Image.open(drawn).size == (7, 5)
        assert (tmp_path / "work" / "tensorboard").is_dir()
        again = run_of(file, {"work_dir": str(tmp_path / "test")}, "test")
        assert (again.trainer, again.train_data) == (None, None)
        assert jobs.test(again).keys() == metrics.keys()
        assert load_config(tmp_path / "test" / "config.py").num_images == 1
    finally:
        VISUALIZERS.module_dict.pop("VisualizerOfATest", None)


@pytest.mark.usefixtures("never_trained")
def test_the_command_line_reports_every_error_without_a_traceback(file, tmp_path, capsys):
    words = ["train", str(file), "--work-dir", str(tmp_path / "work"), "--cfg-options"]
    options = ["train_data.dataset.colors=['octarine']", "trainer.coord_sigma=-1"]
    assert main([*words, *options]) == 2
    assert "error: train_data.dataset.colors: unknown 'octarine'" in capsys.readouterr().err
    assert main([*words, options[1]]) == 2
    assert "error: trainer.coord_sigma must not be negative" in capsys.readouterr().err
