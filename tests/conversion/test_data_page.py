"""The table of docs/data.md: what each format reads, writes, and what real data loses there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT

from rexkit.cli.convert_command import main
from rexkit.conversion import FEATURES, DataFormat, find_format
from rexkit.instances import extent, keypoint_visibility
from rexkit.registry import DATASETS, FORMATS
from rexkit.structures import Instance

PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")
ROW = re.compile(r"^\| `([\w-]+)` \|(.+)\|$", re.MULTILINE)
ROWS = {name: [cell.strip() for cell in rest.split("|")] for name, rest in ROW.findall(PAGE)}
ALL_SETS = ("cells", "screens", "people", "texts", "nuclei")


def names_in(cell: str) -> list[str]:
    return re.findall(r"`(\w+)", cell)


def test_every_format_has_a_row():
    assert [*ROWS] == sorted(FORMATS.components())


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_its_format_does(name):
    what, datasets, reads, writes, whole, lost = ROWS[name]
    component = FORMATS.get(name)
    assert what
    for dataset in names_in(datasets):
        assert dataset in DATASETS
    assert (reads == "yes") == (component.open is not DataFormat.open)
    assert (writes == "yes") == (component.writer is not DataFormat.writer)
    assert {*whole.split(", ")} <= {*ALL_SETS, "all", "–"}
    if writes == "yes":
        holds = component().writer(Path(), ["train"]).holds
        listed = {*lost.partition(";")[0].split(", ")} - {"nothing"}
        assert listed == FEATURES - holds


def real_sets(shared: Path, folder: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Yield two or three images of each real set, by its name: the file, and words for it."""
    for name, file, images in (
        ("cells", "bccd/val.json", "bccd/val"),
        ("screens", "gui/annotations.json", "gui/images"),
        ("people", "keypoints/person", None),
    ):
        path = shared / file
        path = next(path.glob("*.json")) if path.is_dir() else path
        data = json.loads(path.read_text())
        data["images"] = data["images"][:2]
        kept = {image["id"] for image in data["images"]}
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] in kept]
        root = path.parent / "images" if images is None else shared / images
        (folder / f"{name}.json").write_text(json.dumps(data))
        yield name, folder / f"{name}.json", ["--images", str(root)]
    for name, file in (("texts", "ocr/icdar2015.jsonl"), ("nuclei", "pointing/points.jsonl")):
        lines = [json.loads(line) for line in (shared / file).read_text().splitlines()[:2]]
        for row in lines:
            row["image"] = str(shared / file).rpartition("/")[0] + f"/{row['image']}"
            row["label"] = row.get("label", "word")
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in lines))
        yield name, folder / f"{name}.jsonl", []


def read(path: Path, images: Path | None) -> list[list[tuple[Any, ...]]]:
    """Return what there is of each image, in an order that does not depend on that of the file."""
    _, found, _ = find_format(path)
    by_image: dict[Any, list[Instance]] = {}
    for split in found.open(path, images).values():
        for index in range(len(split.dataset)):
            annotation, image = split.dataset.described(index)
            key = image if isinstance(image, Path) else index
            by_image.setdefault(key, []).extend(annotation.instances)
    described = [sorted(map(describe, instances)) for instances in by_image.values()]
    return sorted(described, key=repr)


def describe(instance: Instance) -> tuple[Any, ...]:
    """Return what must come back of an instance: its box too where another geometry gives it."""
    seen = keypoint_visibility(instance)
    return (
        instance.phrase,
        numbers(extent(instance)),
        numbers(instance.point),
        numbers(instance.polygon),
        tuple((name, numbers((instance.keypoints or {})[name])) for name, v in seen.items() if v),
        tuple(name for name, v in seen.items() if v == 1),
        instance.text or "",
        instance.ignore,
    )


def numbers(values: Any) -> tuple[float, ...]:
    return () if values is None else tuple(np.round(np.ravel(values), 4).tolist())


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name][3] == "yes"])
def test_real_data_comes_back_as_the_table_says(name, shared_data, tmp_path, capsys):
    whole = []
    for real, file, words in real_sets(shared_data, tmp_path):
        target = tmp_path / real
        assert main([str(file), str(target), "--to", name, "--link", "--workers", "1", *words]) == 0
        images = Path(words[1]) if words else None
        if read(file, images) == read(target, None):
            whole.append(real)
        else:  # what does not come back is reported
            said = capsys.readouterr().err
            assert re.search(r"^\d+ [a-z ]+: ", said, re.MULTILINE), (name, real, said)
    listed = {"all": [*ALL_SETS], "–": []}.get(ROWS[name][4], ROWS[name][4].split(", "))
    assert whole == listed
