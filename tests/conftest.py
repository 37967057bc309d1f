"""Fixtures and settings of all tests."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

# With several test processes on few cores one thread each is fastest. Set before importing torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test asks the model hub, so that all give the same with a network as without, and at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# DeepSpeed compiles an operator on first use, anew wherever the environment is another one.
EXTENSIONS = Path(os.environ.setdefault("TORCH_EXTENSIONS_DIR", f"{sys.prefix}/torch_extensions"))


def pytest_configure() -> None:
    """Remove the locks of compilations that were killed, for which torch would wait forever."""
    for lock in EXTENSIONS.glob("**/lock"):
        if time.time() - lock.stat().st_mtime > 900:
            lock.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of small real datasets beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder}")
    return folder


@pytest.fixture
def own_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components that are registered in a test are gone after it."""
    from rexkit.registry import REGISTRIES

    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_module_dict", registry.components())


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    from rexkit.models import TinyVLM

    TinyVLM(weights=None, family="qwen2_5_vl").save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def data_root(tmp_path) -> Path:
    """Shapes as JSONL, turned into TSV by the tool."""
    from rexkit.cli.json_to_tsv_command import main as json_to_tsv
    from rexkit.datasets import ShapesDataset

    for split, seed in (("train", 1), ("val", 2)):
        folder = tmp_path / "images" / split
        folder.mkdir(parents=True)
        rows = []
        for i in range(4):
            sample = ShapesDataset(4, seed=seed)[i]
            sample.image.save(folder / f"{i}.png")
            boxes = [
                {"bbox": thing.bbox.tolist(), "phrase": thing.phrase}
                for thing in sample.annotation.instances
            ]
            rows.append({"image_name": f"{i}.png", "annotation": {"boxes": boxes}})
        lines = tmp_path / f"{split}.jsonl"
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        target = tmp_path / "data" / split
        target.parent.mkdir(exist_ok=True)
        words = ["--json_file", str(lines), "--image_root_path", str(folder)]
        for flag, end in (
            ("--save_image_tsv_path", "images.tsv"),
            ("--save_ann_tsv_path", "annotations.tsv"),
            ("--save_ann_lineidx_path", "annotations.tsv.lineidx"),
        ):
            words += [flag, f"{target}.{end}"]
        assert json_to_tsv(words) == 0
    return tmp_path / "data"
