"""The GUI plugin as its users have it: installed in an environment of its own."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from fresh_venv import ROOT, FreshVenv, copy_package

PLUGIN = ROOT / "plugins" / "rexkit-plugin-gui"
SHORT = (
    "trainer.max_steps=2 trainer.per_device_train_batch_size=2 trainer.dataloader_num_workers=0 "
    "trainer.disable_tqdm=True trainer.save_strategy=no num_images=2 "
    "test_data.0.dataset.size=3 test_data.1.dataset.size=3 backend.max_new_tokens=8"
)

pytestmark = pytest.mark.skipif(
    find_spec("rexkit_plugin_gui") is not None,
    reason="the running environment has rexkit-plugin-gui: pip uninstall it to test its absence",
)


def test_uninstalled_it_is_asked_for_and_installed_it_trains(tmp_path: Path) -> None:
    venv = FreshVenv(tmp_path / "venv")
    train = f"python tools/train.py configs/sft/gui.py --work-dir {tmp_path / 'work'}"
    without = venv.run(train)
    assert without.returncode == 2
    assert "configs/sft/gui.py needs the package rexkit-plugin-gui: pip install" in without.stderr
    assert "./plugins/rexkit-plugin-gui" in without.stderr
    assert without.stderr.count("\n") == 1

    venv.succeed(f"pip install {copy_package(PLUGIN, tmp_path / 'rexkit-plugin-gui')}")
    listing = venv.succeed("rexkit plugins")
    for word in ("rexkit-plugin-gui 0.1.0", "GUIPointingTask", "click", "loaded"):
        assert word in listing

    venv.succeed(f"{train} --cfg-options {SHORT}")
    values = json.loads((tmp_path / "work" / "metrics.json").read_text())
    for task in ("gui_grounding", "gui_pointing"):
        for key in (f"{task}/click_accuracy", f"before/{task}/click_accuracy"):
            assert 0 <= values[key] <= 1
    assert len(list((tmp_path / "work" / "after" / "images").glob("*.png"))) == 2


def test_its_own_tests_pass(tmp_path: Path) -> None:
    venv = FreshVenv(tmp_path / "venv")
    venv.succeed(f"pip install {copy_package(PLUGIN, tmp_path / 'rexkit-plugin-gui')}")
    report = venv.succeed(f"pytest -q -p no:cacheprovider -p no:xdist {PLUGIN}")
    assert " passed" in report
