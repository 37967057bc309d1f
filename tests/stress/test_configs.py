"""Malformed configs and overrides end in one error that names them, never in a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rexkit.cli.options import parse_override
from rexkit.config import load_config
from rexkit.errors import UserError
from rexkit.run import Run

ROUNDS = int(os.environ.get("REXKIT_FUZZ", "60"))

CONFIG = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1)
train_data = dict(dataset=dict(type="ShapesDataset", size=4), task=dict(type="GroundingTask"))
trainer = dict(type="SFTTrainer", max_steps=1, use_cpu=True)
"""
KEYS = [
    *("model", "train_data", "trainer", "seed", "work_dir", "custom_imports", "requires"),
    *("model.type", "train_data.dataset", "train_data.dataset.size", "train_data.task"),
    *("train_data.dataset.type", "train_data.weight", "train_data.task.num_negatives"),
    *("trainer.type", "trainer.attention", "trainer.max_row_tokens", "trainer.learning_rate"),
    *("model.hidden_size", "model.layers", "trainer.coord_sigma", "metrics", "test_data"),
    *("trainer..max_steps", "", "a.b.c", "train_data.0", "train_data.transforms", "backend"),
]
VALUES = [
    *("x", "-1", "0", "1e400", "nan", "None", "[]", "{}", "5", "'nope'", "{[]: 1}", "(1, 2)"),
    *("(" * 300, "[[[1]]]", "{'type': 5}", "{'type': 'Nope'}", "True", "9" * 30, "=", "${x}"),
]
FILES = {
    "_base_ = 'config.py'": r"config\.py: it includes itself by _base_",
    "_base_ = 'none.py'": r"none\.py",
    "model = dict(": r"config\.py: it cannot be read .*SyntaxError",
    "raise ZeroDivisionError('no')": r"config\.py: it cannot be read .*ZeroDivisionError: no",
    "model = {[]: 1}": r"config\.py: it cannot be read .*TypeError: unhashable",
    "model = dict(type=5)": r"model\.type: must be a name of MODELS, got 5",
    "model = [1]\ntrain_data = 3": r"(?s)train_data: expected .*got 3.*model: expected .*got \[1\]",
    "requires = 5": r"config\.py: requires must be a list of package names, got 5",
    "custom_imports = 3": r"custom_imports: must be .*got 3",
    "custom_imports = dict(imports=['no_such_module'])": "custom_imports: .*'no_such_module'",
    "train_data = lambda: 1": "no 'train_data'",
}


@pytest.mark.parametrize("text", FILES)
def test_malformed_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(text)
    with pytest.raises((UserError, FileNotFoundError), match=FILES[text]):
        Run.from_config(load_config(tmp_path / "config.py", {"work_dir": str(tmp_path)}), "train")


WRONG = {
    "metrics=5": "metrics: expected a list",
    "num_images=x": "num_images: expected a whole number, got 'x'",
    "test_before=x": "test_before: expected True or False, got 'x'",
    "requires=x": "requires: expected a list of strings, got 'x'",
    "backend=x": "backend: expected a dict with the key 'type', got 'x'",
    "trainer=0.5": "trainer: expected a dict with the key 'type', got 0.5",
    "model.freeze=5": r"model\.freeze: expected a list of 'vision_tower' or ",
    "model.system_prompt=[]": r"model\.system_prompt: expected a string, got \[\]",
    "train_data.transforms=5": r"train_data\.transforms: expected a list of dicts, got 5",
    "train_data.rewards=5": r"train_data\.rewards: expected a list, got 5",
    "train_data.weight=x": r"train_data\.weight: expected a number, got 'x'",
    "train_data.dataset.image_size=64": r"image_size: expected a list of 2 whole numbers, got 64",
    "train_data.dataset.colors=[]": r"train_data\.dataset\.colors: an empty list",
    "train_data.dataset.seed=-1": r"train_data\.dataset\.seed: must be 0 or more, got -1",
    "train_data.task.templates=[]": r"train_data\.task\.templates: an empty list asks nothing",
    "train_data.task.templates=5": r"templates: expected a list of strings or 'diverse', got 5",
    "train_data.task.num_negatives=x": r"task\.num_negatives: expected a whole number or a list",
    "trainer.report_to=5": r"trainer\.report_to: expected a string or a list of strings",
    "trainer.coord_sigma=x": r"trainer\.coord_sigma: expected a number or a list of 2 numbers",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_value_of_a_wrong_type_is_named_with_its_key(override: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    overrides = dict([parse_override(override)]) | {"work_dir": str(tmp_path / "run")}
    if "backend" in overrides:
        overrides["val_data"] = dict(
            dataset=dict(type="ShapesDataset", size=4), task=dict(type="GroundingTask")
        )
    with pytest.raises(UserError, match=WRONG[override]) as caught:
        Run.from_config(load_config(tmp_path / "config.py", overrides), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_yaml_makes_no_objects(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text(f"seed: !!python/object/apply:os.mkdir [{tmp_path}/ran]\n")
    with pytest.raises(UserError, match="cannot be read as a config"):
        load_config(path)
    (tmp_path / "b.py").write_text(f"_base_ = 'a.{suffix}'")
    with pytest.raises(UserError, match="cannot be read as a config"):
        load_config(tmp_path / "b.py")
    assert not (tmp_path / "ran").exists()
    path.write_text("seed: 3\nnum_images: 1\ntrainer: {learning_rate: 1e-3, name: 1e-3x}\n")
    assert load_config(path).seed == 3
    assert load_config(path).trainer == {"learning_rate": 0.001, "name": "1e-3x"}


@pytest.mark.parametrize("word", ["x", "=1", "a={[]: 1}"])
def test_malformed_overrides(word: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_override(word)
    assert "\n" not in str(caught.value)


def test_any_override_is_applied_or_named(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    generator = np.random.default_rng(14)
    refused = 0
    for _ in range(ROUNDS):
        words = [
            f"{KEYS[generator.integers(len(KEYS))]}={VALUES[generator.integers(len(VALUES))]}"
            for _ in range(generator.integers(1, 3))
        ]
        try:
            overrides = dict(map(parse_override, words))
            overrides["work_dir"] = str(tmp_path / "run")
            Run.from_config(load_config(tmp_path / "config.py", overrides), "train")
        except (UserError, FileNotFoundError):
            refused += 1
        except Exception as error:
            raise AssertionError(f"{words} ended in {error!r}") from error
    assert refused > ROUNDS / 2
