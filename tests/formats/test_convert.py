"""JSON annotations and images to TSV files, by the command line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from rexkit.cli.json_to_tsv_command import main
from rexkit.datasets import CocoDataset, JsonlDataset, TSVDataset
from rexkit.errors import ConfigError, DataError, UserError
from rexkit.formats import TSVWriter
from rexkit.keypoints import SCHEMAS

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


@pytest.fixture
def before(rows: Path) -> dict[Path, bytes]:
    """The files of an earlier conversion; the rows have one more since then."""
    assert main(words(rows.parent, rows)) == 0
    files = {path: path.read_bytes() for path in (rows.parent / "out").iterdir()}
    assert len(files) == 3
    add(rows, {"image_name": "b.png", "annotation": {"boxes": []}})
    return files


def files_of(rows: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (rows.parent / "out").iterdir()}


class FullDisk:
    """A file of which nothing reaches the disk any more, as buffers find out late."""

    def __init__(self, file: Any, room: int):
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self.file.write(data))

    def close(self) -> None:
        self.file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize(("file", "room"), [(0, 0), (0, 10_000), (1, 100), (2, 3)])
def test_a_full_disk_leaves_what_was_there(
    rows: Path, before: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch, file: int, room: int
) -> None:
    take_over = TSVWriter._take_over

    def full(self: TSVWriter) -> None:
        take_over(self)
        self._files[file] = FullDisk(self._files[file], room)  # type: ignore[call-overload]

    monkeypatch.setattr(TSVWriter, "_take_over", full)
    with pytest.raises(UserError, match=r"d\.images\.tsv, .*cannot be written \(No space left"):
        main(words(rows.parent, rows))
    assert files_of(rows) == before


def test_a_full_disk_at_a_checkpoint(
    rows: Path, before: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    always(monkeypatch)
    monkeypatch.setattr("rexkit.formats.tsv.write_whole", full)
    with pytest.raises(UserError, match=r"d\.images\.tsv, .*cannot be written \(No space left"):
        main(words(rows.parent, rows))
    assert files_of(rows) == before


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a checkpoint after every row."""
    checkpoint = TSVWriter.checkpoint
    monkeypatch.setattr(
        TSVWriter, "checkpoint", lambda self, done, state: checkpoint(self, done, state, 0.0)
    )


def killed(rows: Path, monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    """Convert in another process, which dies when it writes a row."""
    pid = os.fork()
    if pid == 0:
        write, calls = TSVWriter.write, []

        def dying(self: TSVWriter, image: bytes, record: Any) -> None:
            calls.append(record)
            if len(calls) == row:
                self._files[1].write(b"half a line")
                self._files[1].flush()
                os._exit(9)
            write(self, image, record)

        monkeypatch.setattr(TSVWriter, "write", dying)
        main(words(rows.parent, rows))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_a_conversion_that_was_killed_goes_on(
    rows: Path,
    before: dict[Path, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    always(monkeypatch)
    add(rows, "{broken", {"image_name": "sub/a.jpg", "annotation": {"boxes": []}})
    assert main(words(rows.parent, rows)) == 1
    whole = files_of(rows)
    reported = capsys.readouterr().err
    add(rows, "")  # the file has another state
    read: list[int] = []
    stored = JsonlDataset.stored
    monkeypatch.setattr(
        JsonlDataset, "stored", lambda self, row: (read.append(row), stored(self, row))[1]
    )
    for _ in range(3):  # each writes one row, and dies at the next
        killed(rows, monkeypatch, 2)
        assert {path: files_of(rows)[path] for path in whole} == whole
    assert main(words(rows.parent, rows)) == 1
    assert read == [3, 4, 5]
    assert "going on after 3 of 6 rows" in (said := capsys.readouterr().err)
    assert said.endswith(reported)
    assert files_of(rows) == whole


def test_other_options_begin_anew(
    rows: Path,
    before: dict[Path, bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    always(monkeypatch)
    killed(rows, monkeypatch, 3)
    assert len(files_of(rows)) == 3 + 4
    assert main([*words(rows.parent, rows), "--coordinates", "pixels"]) == 0
    assert "so this one begins anew" in caplog.text
    assert len(files_of(rows)) == 3
    assert len(converted(rows.parent)) == 4
    # So does a start that finds its note of the progress destroyed.
    killed(rows, monkeypatch, 3)
    next((rows.parent / "out").glob(".*.progress")).write_text('{"sizes": [1')
    assert main(words(rows.parent, rows)) == 0
    assert len(converted(rows.parent)) == 4


def test_an_interrupted_conversion_goes_on(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    always(monkeypatch)
    write = TSVWriter.write

    def stop(self: TSVWriter, image: bytes, record: Any) -> None:
        if self.rows == 2:
            raise KeyboardInterrupt
        write(self, image, record)

    monkeypatch.setattr(TSVWriter, "write", stop)
    assert main(words(rows.parent, rows)) == 130
    assert "the same command goes on where it was" in capsys.readouterr().err
    monkeypatch.setattr(TSVWriter, "write", write)
    assert main(words(rows.parent, rows)) == 0
    assert "going on after 2 of 3 rows" in capsys.readouterr().err
    assert len(converted(rows.parent)) == 3


def test_two_conversions_to_the_same_files(rows: Path) -> None:
    folder = rows.parent / "out"
    files = [rows.parent / name for name in OUTPUTS]
    with TSVWriter(*files, identity="one") as writer:
        with pytest.raises(UserError, match=r"d\.images\.tsv: another process writes it"):
            main(words(rows.parent, rows))
        assert len(list(folder.iterdir())) == 3
        writer.write(b"", {})
        writer.commit()
    assert main(words(rows.parent, rows)) == 0


def test_a_folder_that_is_a_file(rows: Path) -> None:
    (rows.parent / "out").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        main(words(rows.parent, rows))


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
    for indent, encoding in ((None, "utf-8"), (2, "utf-8-sig")):
        text = json.dumps(dict(sorted(data.items())), indent=indent)
        (tmp_path / "coco.json").write_text(text, encoding)
        assert main([*words(tmp_path, tmp_path / "coco.json"), *flag]) == 0
    sample, record, _ = converted(tmp_path).stored(0)
    assert record["boxes"] == [{"phrase": "cup", "id": 5, "bbox": [1, 2, 4, 6], "ignore": False}]
    assert sample.annotation.boxes("cup").tolist() == [[1, 2, 4, 6]]


def test_a_wrong_format_is_an_error(rows: Path) -> None:
    with pytest.raises(DataError, match=r"bad JSON .*; it is JSON Lines, which JsonlDataset reads"):
        main([*words(rows.parent, rows), "--format", "coco"])


@pytest.mark.parametrize(
    "tool",
    [[str(ROOT / "tools" / "convert_json_data_to_tsv.py")], ["-m", "rexkit.cli", "convert"]],
    ids=["script", "rexkit convert"],
)
def test_the_tool_by_its_public_name(shared_data: Path, tmp_path: Path, tool: list[str]) -> None:
    source = shared_data / "bccd"
    arguments = words(tmp_path, source / "val.json")
    arguments[3] = str(source / "val")
    command = [sys.executable, *tool, *arguments]
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


def test_one_message_for_alike_rows(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = {"bbox": [80, 0, 99, 9], "phrase": "cup"}
    lines = [
        {"image_name": "b.png", "annotation": {"boxes": [{**box, "phrase": f"cup {n}", "id": n}]}}
        for n in range(9)
    ]
    add(rows, "{broken", *lines, "[", {"image_name": "none.png", "annotation": {"boxes": []}})
    assert main(words(rows.parent, rows)) == 1
    broken, outside, missing, total = capsys.readouterr().err.splitlines()
    assert broken.startswith(f"{rows}:4: bad JSON")
    assert broken.endswith(f"(and 1 more row like this one, the last {rows}:14)")
    assert outside.startswith(f"{rows}:5: boxes[0] (id 0) 'cup 0': bbox [80, 0, 99, 9] lies out")
    assert outside.endswith(f"(and 8 more rows like this one, the last {rows}:13)")
    assert missing.startswith(f"{rows}:15: cannot read the image")
    assert total == "3 rows written, 12 could not be used"


def test_half_of_a_surrogate_pair_costs_nothing_else(rows: Path) -> None:
    line = '{"image_name": "b.png", "annotation": {"boxes": [], "note": "\\ud800"}}'
    add(rows, line)
    assert main(words(rows.parent, rows)) == 0
    assert converted(rows.parent).stored(3)[1]["note"] == "\ud800"


@pytest.mark.parametrize(
    ("flags", "box"),
    [
        (["--box_format", "xywh"], [10, 5, 30, 25]),
        (["--box_format", "cxcywh"], [0, 0, 20, 15]),
        (["--coordinates", "0-100", "--box_format", "xywh"], [6.4, 2.4, 19.2, 12]),
        (["--orientation", "stored", "--box_format", "xywh"], [34, 23, 54, 43]),
    ],
)
def test_boxes_are_stored_as_corners_of_the_upright_image(
    tmp_path: Path, flags: list[str], box: list[float]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png", exif=exif)
    entry = {"phrase": "cup", "bbox": [10, 5, 20, 20], "own": 1}
    record = {"width": 64, "height": 48, "boxes": [entry], "note": "n"}
    (tmp_path / "rows.jsonl").write_text(json.dumps({"image": "a.png", "annotation": record}))
    assert main([*words(tmp_path, tmp_path / "rows.jsonl"), *flags]) == 0
    sample, stored, _ = converted(tmp_path).stored(0)
    assert sample.annotation.boxes().tolist() == [pytest.approx(box)]
    assert stored["boxes"][0]["own"] == 1
    assert (stored["note"], stored["width"]) == ("n", 64)


KEYPOINTS = ["tip", "Left_Side", "right-side"]


def coco_file(folder: Path, names: list[str] | None, **image: Any) -> Path:
    Image.new("RGB", (64, 48)).save(folder / "a.jpg")
    count = 3 if names is None else len(names)
    annotation = {"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}
    annotation["keypoints"] = [5, 6, 2] * (count - 1) + [0, 0, 0]
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", **image}],
        "annotations": [annotation],
        "categories": [{"id": 2, "name": "leaf_x", "keypoints": names}, {"id": 3, "name": "dog"}],
    }
    (folder / "coco.json").write_text(json.dumps(data))
    return folder / "coco.json"


def test_keypoints_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = [name.replace(" ", "_") for name in SCHEMAS["person"].keypoints]
    for names, stored in ((person, SCHEMAS["person"].keypoints), (KEYPOINTS, None)):
        assert main(words(tmp_path, coco_file(tmp_path, names))) == 0
        keypoints = converted(tmp_path)[0].annotation.instances[0].keypoints
        assert list(keypoints) == list(stored or ["tip", "left side", "right side"])
        assert [xy is None for xy in keypoints.values()] == [False] * (len(names) - 1) + [True]
    capsys.readouterr()
    assert main(words(tmp_path, coco_file(tmp_path, None))) == 0
    assert "1 rows have keypoints whose names the file does not list" in capsys.readouterr().err
    assert converted(tmp_path)[0].annotation.instances[0].extra["keypoints"][:3] == [5, 6, 2]


def test_negative_categories_are_stored(tmp_path: Path) -> None:
    lvis = {"neg_category_ids": [3], "not_exhaustive_category_ids": [2]}
    assert main(words(tmp_path, coco_file(tmp_path, KEYPOINTS, **lvis))) == 0
    annotation = converted(tmp_path)[0].annotation
    assert (annotation.phrases, list(annotation.absent)) == (["leaf x", "dog"], ["dog"])
    assert annotation.instances[0].extra["not_exhaustive"] is True
    path = coco_file(tmp_path, KEYPOINTS)
    assert main([*words(tmp_path, path), "--exhaustive"]) == 0
    assert list(converted(tmp_path)[0].annotation.absent) == ["dog"]
    with pytest.raises(ConfigError, match="--exhaustive is not for jsonl files"):
        main([*words(tmp_path, path), "--exhaustive", "--format", "jsonl"])
