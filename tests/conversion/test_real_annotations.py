"""Real keypoints, texts and points, through the formats that hold them and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.instances import keypoint_visibility
from rexkit.structures import Annotation

HOLD_EVERYTHING = ["labelstudio", "cvat", "odvg", "vott", "parquet"]


def rows(path: Path) -> list[Annotation]:
    _, found, _ = find_format(path)
    [split] = found.open(path, None).values()
    return [split.dataset.described(index)[0] for index in range(len(split.dataset))]


def first_lines(source: Path, target: Path, number: int) -> Path:
    """Write the first rows of a JSONL file with images by their full path."""
    lines = [json.loads(line) for line in source.read_text().splitlines()[:number]]
    for row in lines:
        row["image"] = str(source.parent / row["image"])
        row["label"] = row.get("label", "word")
    target.write_text("".join(f"{json.dumps(row)}\n" for row in lines))
    return target


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, kind) for name in HOLD_EVERYTHING for kind in ("keypoints", "texts", "points")),
        *((name, "keypoints") for name in ("coco", "yolo", "labelme")),
    ],
)
def test_real_annotations_come_back(name, kind, shared_data, tmp_path):
    if kind == "keypoints":
        [source] = (shared_data / "keypoints" / "person").glob("*.json")
    else:
        file = {"texts": "ocr/icdar2015.jsonl", "points": "pointing/points.jsonl"}[kind]
        source = first_lines(shared_data / file, tmp_path / "source.jsonl", 2)
    assert main([str(source), str(tmp_path / "there"), "--to", name, "--workers", "1"]) == 0
    given, found = rows(source), rows(tmp_path / "there")
    assert len(given) == len(found) > 0
    for one, other in zip(given, found, strict=True):
        assert len(one.instances) == len(other.instances)
        # Some formats list ignored instances apart.
        ordered = (sorted(x.instances, key=lambda i: i.ignore) for x in (one, other))
        for a, b in zip(*ordered, strict=True):
            assert (a.phrase, a.text, a.ignore) == (b.phrase, b.text, b.ignore)
            for field in ("bbox", "point", "polygon"):
                assert (getattr(a, field) is None) == (getattr(b, field) is None), field
                if getattr(a, field) is not None:
                    np.testing.assert_allclose(getattr(b, field), getattr(a, field), atol=1e-6)
            seen, again = keypoint_visibility(a), keypoint_visibility(b)
            assert seen == {part: again.get(part, 0) for part in seen}
            for part, xy in (a.keypoints or {}).items():
                if xy is not None:
                    np.testing.assert_allclose(b.keypoints[part], xy, atol=1e-6)
