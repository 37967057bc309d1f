"""JSON annotations and images to TSV files, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.datasets import CocoDataset, JsonlDataset, TSVDataset
from rexkit.errors import DataError
from rexkit.formats import TSVWriter

OUTPUTS = ("out/d.images.tsv", "out/d.annotations.tsv", "out/d.annotations.tsv.lineidx")


def words(folder: Path, json_file: Path) -> list[str]:
    images, annotations, lineidx = (str(folder / name) for name in OUTPUTS)
    return [
        *("--json_file", str(json_file), "--image_root_path", str(folder)),
        *("--save_image_tsv_path", images, "--save_ann_tsv_path", annotations),
        *("--save_ann_lineidx_path", lineidx),
    ]


def converted(folder: Path) -> TSVDataset:
    images, annotations, lineidx = (folder / name for name in OUTPUTS)
    return TSVDataset(images, annotations, lineidx)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three usable rows: a JPEG, a PNG, and a JPEG that a camera stored on its side."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    (tmp_path / "sub").mkdir()
    Image.fromarray(noise).save(tmp_path / "sub" / "a.jpg")
    Image.fromarray(noise).save(tmp_path / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.new("RGB", (64, 48))
    upright.paste((255, 255, 255), (10, 5, 30, 25))
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "c.jpg", exif=exif, quality=95)
    names = ("sub/a.jpg", "b.png", "c.jpg")
    box = {"bbox": [10, 5, 30, 25], "phrase": "cup", "own": "ünïcode"}
    lines = [{"image_name": n, "annotation": {"boxes": [box], "note": n}} for n in names]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "rows.jsonl"


def add(rows: Path, *lines: Any) -> None:
    with rows.open("a") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


def test_rows_are_stored_as_they_are(rows: Path) -> None:
    folder = rows.parent
    assert main(words(folder, rows)) == 0
    dataset = converted(folder)
    assert len(dataset) == 3
    for index, source in enumerate(map(json.loads, rows.read_text().splitlines())):
        sample, record, _ = dataset.stored(index)
        assert record == source["annotation"]
        assert sample.annotation.boxes("cup").tolist() == [[10, 5, 30, 25]]
    assert dataset.stored(0)[2] == (folder / "sub" / "a.jpg").read_bytes()
    with Image.open(folder / "b.png") as png:
        assert (np.asarray(dataset[1].image) == np.asarray(png)).all()


def test_a_turned_image_and_its_boxes_stay_together(rows: Path) -> None:
    assert main(words(rows.parent, rows)) == 0
    sample, _, stored = converted(rows.parent).stored(2)
    # A reader that knows nothing of EXIF sees the same.
    with Image.open(BytesIO(stored)) as plain:
        pixels = np.asarray(plain.convert("L"))
    x0, y0, x1, y1 = sample.annotation.boxes()[0].astype(int)
    assert pixels.shape == (48, 64)
    assert pixels[y0:y1, x0:x1].mean() > 250
    outside = pixels.sum() - pixels[y0:y1, x0:x1].sum()
    assert outside / pixels.size < 5


def test_the_index_and_offsets_are_those_of_the_public_reader(rows: Path) -> None:
    """Read with nothing but seek and split, as scripts out there do."""
    folder = rows.parent
    assert main(words(folder, rows)) == 0
    images, annotations, lineidx = (folder / name for name in OUTPUTS)
    for line in lineidx.read_text().splitlines():
        with annotations.open(encoding="utf-8") as file:
            file.seek(int(line))
            offset, record = file.readline().strip().split("\t")
        assert json.loads(record)["boxes"][0]["phrase"] == "cup"
        with images.open() as file:
            file.seek(int(offset))
            key, _ = file.readline().strip().split("\t")
        assert key == offset


def test_bad_rows_are_listed_and_the_rest_is_written(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = (rows.parent / "sub" / "a.jpg").read_bytes()[:900]
    (rows.parent / "cut.jpg").write_bytes(cut)
    outside = {"boxes": [{"bbox": [80, 0, 99, 9], "phrase": "[red]cup[/red]"}]}
    leaving = {"boxes": [{"bbox": [0, 0, 99, 9], "phrase": "[red]cup[/red]"}]}
    add(
        rows,
        "{broken",
        {"image_name": "missing.jpg", "annotation": {"boxes": []}},
        {"image_name": "cut.jpg", "annotation": {"boxes": []}},
        {"image_name": "b.png", "annotation": outside},
        {"image_name": "b.png", "annotation": leaving},
    )
    assert main(words(rows.parent, rows)) == 1
    listed = capsys.readouterr().err
    for number, reason in (
        (4, "bad JSON"),
        (5, "cannot read the image"),
        (6, "cannot be decoded"),
        (7, "'[red]cup[/red]': bbox [80, 0, 99, 9] lies outside the image of 64x48"),
    ):
        line = next(line for line in listed.splitlines() if f"rows.jsonl:{number}:" in line)
        assert reason in line
    report = "when read, 1 box in 1 row leaves its image and is clamped to it: "
    assert f"{report}{rows}:8\n" in listed
    assert "4 rows written, 4 could not be used" in listed
    assert len(converted(rows.parent)) == 4


def test_nothing_usable_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{broken\n")
    assert main(words(tmp_path, tmp_path / "rows.jsonl")) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_broken_run_leaves_what_was_there(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rows.parent
    assert main(words(folder, rows)) == 0
    before = {path: path.read_bytes() for path in (folder / "out").iterdir()}
    assert len(before) == 3
    add(rows, {"image_name": "b.png", "annotation": {"boxes": []}})
    write, calls = TSVWriter.write, []

    def full_disk(self: TSVWriter, image: bytes, record: Any) -> None:
        calls.append(record)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(self, image, record)

    monkeypatch.setattr(TSVWriter, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        main(words(folder, rows))
    assert {path: path.read_bytes() for path in (folder / "out").iterdir()} == before


def test_outputs_must_differ(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be different"):
        TSVWriter(tmp_path / "a", tmp_path / "b", tmp_path / "x" / ".." / "a")


def test_written_files_have_the_usual_permissions(rows: Path) -> None:
    assert main(words(rows.parent, rows)) == 0
    usual = rows.stat().st_mode
    assert {path.stat().st_mode for path in (rows.parent / "out").iterdir()} == {usual}


@pytest.mark.parametrize("flag", [[], ["--format", "coco"]])
def test_coco_and_jsonl_are_distinguished(tmp_path: Path, flag: list[str]) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 2, "name": "cup"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(data))
    assert main([*words(tmp_path, tmp_path / "coco.json"), *flag]) == 0
    sample, record, _ = converted(tmp_path).stored(0)
    assert record["boxes"] == [{"phrase": "cup", "id": 5, "bbox": [1, 2, 4, 6], "ignore": 0}]
    assert sample.annotation.boxes("cup").tolist() == [[1, 2, 4, 6]]


def test_a_wrong_format_is_an_error(rows: Path) -> None:
    with pytest.raises(DataError, match="bad JSON"):
        main([*words(rows.parent, rows), "--format", "coco"])


def test_the_tool_by_its_public_name(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "bccd"
    arguments = words(tmp_path, source / "val.json")
    arguments[3] = str(source / "val")
    tool = ROOT / "tools" / "convert_json_data_to_tsv.py"
    command = [sys.executable, str(tool), *arguments]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "20 rows written, 0 could not be used" in done.stderr
    coco = CocoDataset(source / "val.json", source / "val")
    for before, after in zip(coco, converted(tmp_path), strict=True):
        assert before.annotation.to_dict() == after.annotation.to_dict()
        assert np.array_equal(np.asarray(before.image), np.asarray(after.image))


@pytest.mark.parametrize("name", ["ocr/icdar2015", "ocr/wildreceipt", "pointing/points"])
def test_real_rows_keep_all_they_hold(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / f"{name}.jsonl"
    arguments = words(tmp_path, path)
    arguments[3] = str(path.parent)
    assert main(arguments) == 0
    for before, after in zip(JsonlDataset(path), converted(tmp_path), strict=True):
        assert before.annotation.to_dict() == after.annotation.to_dict()
        for a, b in zip(before.annotation.instances, after.annotation.instances, strict=True):
            assert (a.text, a.ignore, a.extra) == (b.text, b.ignore, b.extra)
