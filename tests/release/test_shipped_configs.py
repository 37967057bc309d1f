"""Names of shipped configs: what they resolve to, and errors that name the candidates."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import CONFIGS

from rexkit.cli import main
from rexkit.config import load_config
from rexkit.errors import ConfigError
from rexkit.shipped_configs import find_config, shipped_configs


def test_every_config_of_the_checkout_has_a_name_of_its_own():
    files = {path for sub in ("sft", "grpo", "eval") for path in (CONFIGS / sub).rglob("*.py")}
    assert set(shipped_configs().values()) == files
    for name, path in shipped_configs().items():
        assert find_config(name) == path


def test_a_name_loads_as_its_file_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = load_config("sft/grounding")
    assert named.to_dict() == load_config(CONFIGS / "sft" / "grounding.py").to_dict()
    assert named.work_dir == str(Path("work_dirs/grounding"))
    assert named.trainer.muon_lr == 0.02  # of _base_


def test_a_short_name_is_that_of_fine_tuning_first():
    assert find_config("grounding") == CONFIGS / "sft" / "grounding.py"
    assert find_config("grpo/grounding") == CONFIGS / "grpo" / "grounding.py"
    assert find_config("pointing") == CONFIGS / "grpo" / "pointing.py"


def test_a_file_of_that_name_comes_before_a_shipped_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grounding").write_text("seed = 3")
    assert find_config("grounding") == Path("grounding")


def test_a_name_in_several_folders_lists_them(tmp_path):
    for sub in ("grpo", "eval"):
        (tmp_path / sub).mkdir()
        (tmp_path / sub / "both.py").touch()
    with pytest.raises(ConfigError, match="several configs: grpo/both, eval/both"):
        find_config("both", tmp_path)


@pytest.mark.parametrize(
    ("name", "near"),
    [("groundin", "'grounding'"), ("sft/all_task", "'sft/all_tasks'"), ("_base_/sft", "known are")],
)
def test_an_unknown_name_lists_the_nearest(name, near):
    with pytest.raises(ConfigError, match=f"{name} is neither a config file nor .*{near}"):
        find_config(name)


def test_a_missing_file_is_not_replaced_by_a_shipped_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no config file my/bccd\.py; .*sft/bccd"):
        find_config("my/bccd.py")
    with pytest.raises(FileNotFoundError, match=r"no config file my/other\.py$"):
        find_config("my/other.py")


def test_files_that_configs_name_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without_vllm = {"trainer.rollout": {"type": "TransformersBackend"}}
    for config in (
        load_config("sft/rex_omni_3b_grounding"),
        load_config("grpo/rex_omni_3b", without_vllm),
    ):
        assert Path(config.trainer.deepspeed).is_file()


def test_configs_are_listed(capsys):
    assert main(["list", "configs"]) == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in shipped_configs())
