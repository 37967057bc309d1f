"""The images of the README are what today's code draws of the recorded predictions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from paths import ROOT
from PIL import Image

IMAGES = ROOT / "docs" / "images"
SHOWN = set(re.findall(r'src="docs/images/([\w.]+)"', (ROOT / "README.md").read_text("utf-8")))

# As where torch is not installed: importing it fails.
WITHOUT_TORCH = "import sys, runpy; sys.modules['torch'] = None; del sys.argv[0]; "
RUN = "runpy.run_path(sys.argv[0], run_name='__main__')"


def draw(*options: object) -> subprocess.CompletedProcess[str]:
    script = ROOT / "docs" / "make_images.py"
    command = [sys.executable, "-c", WITHOUT_TORCH + RUN, str(script), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_images_are_current():
    done = draw("--check")
    assert done.returncode == 0, done.stderr


def test_a_change_is_found_and_the_message_says_what_to_run(tmp_path):
    folder = shutil.copytree(IMAGES, tmp_path / "images")
    with Image.open(folder / "gui.png") as image:
        changed = image.convert("RGB")
    changed.paste("red", (100, 100, 180, 180))
    changed.save(folder / "gui.png")
    done = draw("--check", "--images", folder)
    assert done.returncode == 1
    assert "gui" in done.stderr
    assert "hero" not in done.stderr
    assert "`python docs/make_images.py`" in done.stderr


def test_the_readme_shows_every_image_and_they_are_small():
    files = {path.name: path.stat().st_size for path in IMAGES.glob("*.png")}
    assert set(files) == SHOWN
    assert files.pop("hero.png") < 400_000
    assert max(files.values()) < 200_000
    assert (IMAGES / "predictions.jsonl").stat().st_size < 100_000
