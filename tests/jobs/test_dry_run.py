"""``rexkit train --dry-run`` on every shipped config."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import CONFIGS

from rexkit.cli import main

EMBEDDED = [
    *("sft/all_tasks", "sft/grounding", "sft/keypoints", "sft/mixture"),
    *("grpo/grounding", "grpo/pointing"),
]
REAL_DATA = ["sft/bccd", "grpo/pointing_mask"]
CHECKPOINTS = ["sft/rex_omni_3b_grounding", "grpo/rex_omni_3b"]
OTHERS = ["sft/gui", "eval/tiny", "pretrain/tiny"]


@pytest.fixture(autouse=True)
def needs(request):
    if "grpo/" in request.node.name:
        pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")


@pytest.fixture
def dry_run(tmp_path, capsys):
    def run(name: str, *options: str) -> tuple[int, str, str]:
        words = ["train", str(CONFIGS / f"{name}.py"), "--work-dir", str(tmp_path / "work")]
        code = main([*words, "--dry-run", *(["--cfg-options", *options] if options else [])])
        assert not (tmp_path / "work").exists()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_every_config_is_tried():
    found = {str(p.relative_to(CONFIGS).with_suffix("")) for p in CONFIGS.glob("[!_]*/*.py")}
    # test_rex_omni_eval_configs.py tries those of configs/eval/rex_omni.
    assert found == {*EMBEDDED, *REAL_DATA, *CHECKPOINTS, *OTHERS}


@pytest.mark.parametrize("name", EMBEDDED)
def test_it_prints_what_would_run(name, dry_run):
    code, out, _ = dry_run(name)
    assert code == 0
    for words in ("train_data", "test_data", "prompt: ", "response: ", "1,409,792"):
        assert words in out
    steps = {"sft/all_tasks": "1,188", "sft/grounding": "469", "sft/keypoints": "625"}
    steps |= {"sft/mixture": "250"}
    assert f"optimizer steps: {steps.get(name, '150')}" in out
    if name == "sft/mixture":
        for words in ("simple", "0-1", "100.0%", "60.0%", "320", "train_data.sources.2"):
            assert words in out
    if name == "sft/all_tasks":
        for words in ("train_data.5", "RenderedText", "ocr_polygon", "0.7", "7,000"):
            assert words in out


@pytest.mark.parametrize("name", REAL_DATA)
def test_data_that_is_not_there_is_named(name, dry_run):
    code, _, err = dry_run(name, "data_root=/nowhere")
    assert code == 2
    assert "- train_data.dataset" in err
    assert "- test_data.dataset" in err
    assert err.count("/nowhere") == 2


@pytest.mark.parametrize("name", REAL_DATA)
def test_configs_of_real_data(name, dry_run, shared_data):
    folder = {"sft/bccd": "bccd", "grpo/pointing_mask": "pointing"}[name]
    code, out, err = dry_run(name, f"data_root={shared_data / folder}")
    assert code == 0, err
    assert "train_data" in out


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_configs_of_checkpoints(name, dry_run, checkpoint, data_root: Path):
    options = [f"model.path={checkpoint}", f"data_root={data_root}", "trainer.deepspeed=None"]
    if name.startswith("grpo"):
        options += [
            "trainer.rollout={'type': 'TransformersBackend'}",
            "trainer.num_generations=2",
            "trainer.per_device_train_batch_size=2",
        ]
    code, out, err = dry_run(name, *options)
    assert code == 0, err
    assert "optimizer steps: " in out


def test_configs_that_do_not_train_by_themselves_say_what_they_lack(dry_run, monkeypatch):
    monkeypatch.syspath_prepend(CONFIGS.parent / "tools")  # for custom_imports of pretrain/tiny
    code, _, err = dry_run("eval/tiny")
    assert (code, err.count("the config has no 'train_data'")) == (2, 1)
    code, _, err = dry_run("pretrain/tiny")
    assert (code, err.count("the config has no 'train_data'")) == (2, 1)
    if not find_spec("rexkit_plugin_gui"):  # with it, the plugin's own tests try the config
        code, _, err = dry_run("sft/gui")
        assert (code, err.count("needs the package rexkit-plugin-gui")) == (2, 1)
