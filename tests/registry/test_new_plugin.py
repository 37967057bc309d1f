"""``rexkit new-plugin``: what it writes can be installed and passes its own test."""

from __future__ import annotations

from pathlib import Path

import pytest
from fresh_venv import FreshVenv

from rexkit.cli import main
from rexkit.cli.new_plugin_command import write_plugin
from rexkit.errors import UserError


def test_the_skeleton_can_be_installed_and_passes_its_own_test(tmp_path: Path) -> None:
    venv = FreshVenv(tmp_path / "venv", cwd=tmp_path)
    said = venv.succeed("rexkit new-plugin traffic-light --dir here")
    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert commands == [
        "pip install -e here/rexkit-plugin-traffic-light",
        "rexkit plugins",
        "pytest here/rexkit-plugin-traffic-light",
    ]
    module = tmp_path / "here/rexkit-plugin-traffic-light/rexkit_plugin_traffic_light/__init__.py"
    assert 15 <= len(module.read_text().splitlines()) <= 40
    install, plugins, test = commands
    venv.succeed(install)
    listing = venv.succeed(plugins)
    for word in ("rexkit-plugin-traffic-light 0.1.0", "TASK_FNS: TrafficLightTask", "loaded"):
        assert word in listing
    assert "2 passed" in venv.succeed(f"{test} -q -p no:cacheprovider")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Fruit", "did you mean 'fruit'?"),
        ("my fruit", "did you mean 'my-fruit'?"),
        ("../fruit", "did you mean 'fruit'?"),
        ("1st", "a letter first"),
        ("", "a letter first"),
        ("grounding", "GroundingTask, which there is already"),
        ("detection", "GroundingTask, which there is already"),
    ],
)
def test_names_that_are_no_good(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        write_plugin(name, tmp_path)
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_name_of_the_package_will_do_and_no_folder_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write_plugin("rexkit-plugin-fruit", tmp_path) == tmp_path / "rexkit-plugin-fruit"
    mine = tmp_path / "rexkit-plugin-fruit" / "README.md"
    mine.write_text("mine")
    assert main(["new-plugin", "fruit", "--dir", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert mine.read_text() == "mine"
