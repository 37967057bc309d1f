"""Distributions built without network; the wheel, installed, runs outside the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from fresh_venv import FreshVenv
from paths import CONFIGS, ROOT

import rexkit

NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "dist", "work_dirs", "data", "*.egg-info", "__pycache__"
)
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
ONE_STEP = (
    "trainer.max_steps=1 trainer.per_device_train_batch_size=2 trainer.dataloader_num_workers=0 "
    "trainer.disable_tqdm=True trainer.save_strategy=no test_before=False num_images=1 "
    "test_data.dataset.size=1 backend.max_new_tokens=8"
)
PREDICT = (
    "from PIL import Image; from rexkit import Predictor; "
    "print(Predictor('tiny').predict(Image.new('RGB', (64, 48)), categories=['red circle']))"
)


def build(kind: str, source: Path, target: Path) -> Path:
    """Build one distribution with the build backend itself, as a front end does."""
    target.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD.format(kind), str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [built] = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    checkout = shutil.copytree(ROOT, folder / "checkout", ignore=NOT_COPIED)
    return build("sdist", checkout, folder / "dist")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """The wheel that is made from the source distribution, as package installers make it."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [source] = folder.iterdir()
    return build("wheel", source, folder / "dist")


def test_the_source_distribution_has_what_it_takes_to_test_it(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    scripts = ("tools/train.py", "scripts/sft.sh")
    for file in ("configs/_base_/sft.py", "tests/paths.py", *scripts, "constraints.txt"):
        assert file in names
    assert not [name for name in names if "__pycache__" in name or "work_dirs" in name]


def test_the_wheel_has_the_package_its_data_and_the_configs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "rexkit").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    configs = {
        f"rexkit/{path.relative_to(ROOT).as_posix()}"
        for path in CONFIGS.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.parent.name != "pretrain"
    }
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == package | configs


def test_the_metadata_is_complete(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Name"] == "rexkit"
    assert metadata["Version"] == rexkit.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    urls = {url.split(",")[0] for url in metadata.get_all("Project-URL")}
    assert urls >= {"Source", "Issues", "Changelog", "Documentation"}
    versions = {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)}
    assert versions <= set(metadata.get_all("Classifier"))
    assert metadata["Keywords"]


def test_the_wheel_works_outside_the_checkout(wheel, tmp_path):
    venv = FreshVenv(tmp_path / "venv", cwd=tmp_path, checkout=False)
    venv.succeed(f"pip install {wheel}")
    place = Path(venv.succeed('python -c "import rexkit; print(rexkit.__file__)"'))
    assert place.is_relative_to(tmp_path / "venv")
    assert venv.succeed("rexkit --version").startswith(f"rexkit {rexkit.__version__} (")
    assert "sft/grounding" in venv.succeed("rexkit list configs")
    assert "plugins" in venv.succeed("rexkit plugins")
    assert "red circle" in venv.succeed(f'python -c "{PREDICT}"')
    assert "orange" in venv.succeed("rexkit train grounding --dry-run")
    (tmp_path / "mine.py").write_text('_base_ = "{{$REXKIT_CONFIGS:configs}}/sft/grounding.py"\n')
    venv.succeed(f"rexkit train mine.py --cfg-options {ONE_STEP}")
    assert (tmp_path / "work_dirs" / "mine" / "metrics.json").is_file()
