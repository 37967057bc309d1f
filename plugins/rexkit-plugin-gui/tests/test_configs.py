"""The configs that use the plugin load where it is installed."""

from __future__ import annotations

import pytest
from conftest import CHECKOUT

from rexkit.cli import main
from rexkit.config import load_config

OWN = CHECKOUT / "plugins" / "rexkit-plugin-gui" / "configs"


def test_the_config_of_rexkit_loads():
    config = load_config(CHECKOUT / "configs" / "sft" / "gui.py")
    assert [s.task.type for s in config.train_data] == ["GUIGroundingTask", "GUIPointingTask"]


def test_the_mixture_has_the_six_tasks_and_these_two():
    base = CHECKOUT / "configs" / "sft" / "all_tasks.py"
    if not base.is_file():
        pytest.skip(f"there is no {base} to add to")
    six, eight = load_config(base), load_config(OWN / "all_tasks_gui.py")
    for key in ("train_data", "test_data"):
        assert eight[key][: len(six[key])] == six[key]
        added = [source.task.type for source in eight[key][len(six[key]) :]]
        assert added == ["GUIGroundingTask", "GUIPointingTask"]


@pytest.mark.parametrize("config", [CHECKOUT / "configs/sft/gui.py", OWN / "all_tasks_gui.py"])
def test_a_dry_run_checks_the_config(config, tmp_path, capsys):
    if not config.is_file():
        pytest.skip(f"there is no {config}")
    assert main(["train", str(config), "--work-dir", str(tmp_path / "work"), "--dry-run"]) == 0
    assert "gui_pointing" in capsys.readouterr().out
    assert not (tmp_path / "work").exists()
