"""``--import``: commands find components of modules in the current folder; ``--visualizer``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from PIL import Image

from rexkit.cli import main
from rexkit.datasets import ShapesDataset

MODULE = '''
from PIL import Image
from rexkit.parsers import SpanParser
from rexkit.registry import PARSERS, REWARDS, TASK_FNS, VISUALIZERS
from rexkit.tasks import GroundingTask
from rexkit.visualizers import PillowVisualizer


@TASK_FNS.register_module()
class SeekTask(GroundingTask):
    """Seek."""

    name = "seek"


@VISUALIZERS.register_module()
class Blank(PillowVisualizer):
    """Draw nothing."""

    def __init__(self, side=9):
        super().__init__()
        self.side = side

    def draw(self, *args, **options):
        return Image.new("RGB", (self.side, self.side))


@PARSERS.register_module()
class EmptyParser(SpanParser):
    """Read nothing."""

    def __call__(self, text, image_size):
        return super().__call__("", image_size)


@REWARDS.register_module()
def nothing_found(prediction, target):
    """Reward an empty prediction."""
    return float(not prediction.phrases)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_parts.py").write_text(MODULE)
    ShapesDataset(1)[0].image.save(tmp_path / "shapes.png")
    return tmp_path


def rexkit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which registers the module."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from rexkit.cli import main; "
    return subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main(sys.argv[1:]))", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_import_modules_of_the_current_folder(folder):
    listing = rexkit(folder, "list", "TASK_FNS", "--import", "own_parts")
    assert "SeekTask" in listing.stdout
    predict = ["predict", "shapes.png", "--out", "out", "--categories", "red circle"]
    own = ["--import", "own_parts", "--task", "seek", "--visualizer", "Blank:side=5"]
    done = rexkit(folder, *predict, *own, "--options", "max_new_tokens=8")
    assert done.returncode == 0, done.stderr
    (drawn,) = (folder / "out" / "images").iterdir()
    assert Image.open(drawn).size == (5, 5)
    records = folder / "out" / "predictions.jsonl"
    assert '"seek"' in records.read_text()
    reward = ["reward", str(records), "--reward", "nothing_found", "--import", "own_parts"]
    assert "1.0000" in rexkit(folder, *reward, "--parser", "EmptyParser").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["list", "REWARDS"],
        ["predict", "a.png", "--out", "out"],
        ["reward", "a.jsonl", "--reward", "format"],
        ["analyse", "folder"],
        ["train", "sft/grounding"],
        ["test", "eval/tiny"],
    ],
    ids=lambda words: words[0],
)
def test_a_module_that_cannot_be_imported_is_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    assert main([*words, "--import", "no_such_module"]) == 2
    error = capsys.readouterr().err
    assert "cannot import 'no_such_module': No module named 'no_such_module'" in error
    assert error.count("\n") == 1
