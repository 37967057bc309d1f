"""A checkpoint and TSV files of the kind that the configs for real models expect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rexkit.cli import main
from rexkit.datasets import ShapesDataset
from rexkit.models import TinyVLM


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    TinyVLM(weights=None, family="qwen2_5_vl").save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def data_root(tmp_path) -> Path:
    """Shapes as JSONL, turned into TSV by the tool."""
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
        words = ["convert", "--json_file", str(lines), "--image_root_path", str(folder)]
        for flag, end in (
            ("--save_image_tsv_path", "images.tsv"),
            ("--save_ann_tsv_path", "annotations.tsv"),
            ("--save_ann_lineidx_path", "annotations.tsv.lineidx"),
        ):
            words += [flag, f"{target}.{end}"]
        assert main(words) == 0
    return tmp_path / "data"
