"""The three-file format: written, read, damaged, and read by many processes."""

from __future__ import annotations

import base64
import json
import multiprocessing
import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.datasets import TSVDataset
from rexkit.errors import ConfigError, DataError
from rexkit.formats import TSVWriter
from rexkit.formats.annotation_records import to_record
from rexkit.registry import DATASETS
from rexkit.structures import Annotation

SIZE = (64, 48)
NAMES = ("d.images.tsv", "d.annotations.tsv", "d.annotations.tsv.lineidx")


def image(number: int, kind: str = "PNG") -> bytes:
    """An image of one grey, which tells its number."""
    buffer = BytesIO()
    Image.new("RGB", SIZE, (number, number, number)).save(buffer, kind)
    return buffer.getvalue()


def paths(folder: Path) -> tuple[Path, Path, Path]:
    images, annotations, lineidx = (folder / name for name in NAMES)
    return images, annotations, lineidx


def cup(number: int) -> dict[str, Any]:
    return {"boxes": [{"bbox": [number, 0, number + 5, 9], "phrase": "cup"}]}


def write(folder: Path, size: int = 4) -> tuple[Path, Path, Path]:
    """A set whose row n has an image of grey n and a box that starts at x = n."""
    with TSVWriter(*paths(folder)) as writer:
        for number in range(size):
            writer.write(image(number), cup(number))
        writer.commit()
    return paths(folder)


def by_hand(folder: Path, rows: list[tuple[bytes, bytes]]) -> tuple[Path, Path, Path]:
    """A set of image lines and records, whatever they hold."""
    images, annotations, lineidx = paths(folder)
    with images.open("wb") as a, annotations.open("wb") as b, lineidx.open("wb") as c:
        for line, record in rows:
            c.write(b"%d\n" % b.tell())
            b.write(b"%d\t%b\n" % (a.tell(), record))
            a.write(line + b"\n")
    return paths(folder)


def check(dataset: Any, row: int) -> None:
    """Whether a row is the one that `write` wrote."""
    sample = dataset[row]
    assert np.asarray(sample.image)[0, 0].tolist() == [row] * 3
    assert sample.annotation.boxes().tolist() == [[row, 0, row + 5, 9]]


def test_rows_are_read_as_written(tmp_path: Path) -> None:
    images, annotations, lineidx = map(str, write(tmp_path))
    dataset = DATASETS.build(
        dict(
            type="TSVDataset",
            img_tsv_file=images,
            ann_tsv_file=annotations,
            ann_lineidx_file=lineidx,
        )
    )
    assert len(dataset) == 4
    for row in (3, 0, 2):
        check(dataset, row)
    assert dataset[3].image.size == dataset[3].annotation.image_size == SIZE
    assert dataset[3].source == f"{tmp_path / NAMES[1]}:4"
    assert [s.annotation.boxes()[0, 0] for s in dataset] == [0, 1, 2, 3]
    for index in (4, -1):
        with pytest.raises(IndexError):
            dataset[index]


@settings(max_examples=25, deadline=None)
@given(st.lists(annotations(SIZE), max_size=4))
def test_what_is_written_is_read(tmp_path_factory: Any, written: list[Annotation]) -> None:
    folder = tmp_path_factory.mktemp("tsv")
    with TSVWriter(*paths(folder)) as writer:
        for number, annotation in enumerate(written):
            writer.write(image(number), to_record(annotation))
        writer.commit()
    dataset = TSVDataset(*paths(folder), coordinates="pixels")
    assert [plain(sample.annotation) for sample in dataset] == list(map(plain, written))
    assert [sample.image.getpixel((0, 0))[0] for sample in dataset] == list(range(len(written)))


def test_lines_that_public_files_hold(tmp_path: Path) -> None:
    encoded = base64.b64encode(image(7))
    record = json.dumps({"boxes": [{"bbox": [1, 2, 3, 4], "caption": "Tässchen 杯"}]})
    rows = [
        (b"0\t" + encoded, record.encode()),
        (b"key\tb'" + encoded + b"'", record.encode()),
        (b"17\t" + encoded + b"\r", record.encode() + b"\r"),
        (b"17\t" + encoded, json.dumps({"points": [{"point": None, "phrase": "cup"}]}).encode()),
    ]
    dataset = TSVDataset(*by_hand(tmp_path, rows))
    for number in range(3):
        assert dataset[number].annotation.phrases == ["Tässchen 杯"]
        assert dataset[number].image.getpixel((9, 9)) == (7, 7, 7)
    assert list(dataset[3].annotation.absent) == ["cup"]
    wide = TSVDataset(*paths(tmp_path), box_format="xywh")
    assert wide[0].annotation.boxes().tolist() == [[1, 2, 4, 6]]


def test_an_image_of_several_rows_is_stored_once(tmp_path: Path) -> None:
    with TSVWriter(*paths(tmp_path)) as writer:
        for number in (5, 6, 5):
            writer.write(image(number), cup(number))
        writer.commit()
    dataset = TSVDataset(*paths(tmp_path))
    assert [s.image.getpixel((0, 0))[0] for s in dataset] == [5, 6, 5]
    assert (tmp_path / NAMES[0]).read_bytes().count(b"\n") == 2


def test_an_index_may_list_the_rows_in_any_order(tmp_path: Path) -> None:
    files = write(tmp_path)
    offsets = files[2].read_text().split()
    files[2].write_text("\n".join(offsets[::-1]))
    assert [s.annotation.boxes()[0, 0] for s in TSVDataset(*files)] == [3, 2, 1, 0]


@pytest.mark.parametrize("counted", [2**30, 0])
@pytest.mark.parametrize(
    ("lines", "reason", "place"),
    [
        ([0, 1, 2], "d.annotations.tsv (has 4|goes on)", ""),
        ([], "d.annotations.tsv (has 4|goes on)", ""),
        ([0, 1, 2, 3, 1], "repeats the offset of line 2;", ":5"),
        ([3, 3], "repeats the offset of line 1;", ":2"),
    ],
)
def test_an_index_that_is_not_complete(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted: int,
    lines: list[int],
    reason: str,
    place: str,
) -> None:
    files = write(tmp_path)
    offsets = files[2].read_text().split()
    files[2].write_text("".join(f"{offsets[line]}\n" for line in lines))
    monkeypatch.setattr("rexkit.formats.tsv._COUNTED", counted)
    with pytest.raises(DataError, match=rf"{reason}.*set partial_index=True") as caught:
        TSVDataset(*files)
    assert caught.value.source == f"{files[2]}{place}"
    chosen = TSVDataset(*files, partial_index=True)
    assert [s.annotation.boxes()[0, 0] for s in chosen] == lines


def test_lines_at_the_end_may_be_empty_and_marks_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write(tmp_path)
    mark = b"\xef\xbb\xbf"
    offsets = [int(offset) for offset in files[2].read_text().split()]
    files[0].write_bytes(mark + files[0].read_bytes())
    annotations = files[1].read_bytes().split(b"\n")
    moved = [
        b"%d\t%b" % (int(a) + 3 * (int(a) > 0), b)
        for a, _, b in (x.partition(b"\t") for x in annotations[:4])
    ]
    assert len(b"\n".join(moved)) == len(b"\n".join(annotations[:4]))
    files[1].write_bytes(mark + b"\n".join(moved) + b"\n\n\n")
    files[2].write_bytes(mark + b"".join(b"%d\r\n" % (o + 3 * (o > 0)) for o in offsets))
    for counted in (2**30, 0):
        monkeypatch.setattr("rexkit.formats.tsv._COUNTED", counted)
        dataset = TSVDataset(*files)
        for row in range(4):
            check(dataset, row)


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    files = write(tmp_path)
    for file in files:
        file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    check(TSVDataset(*files), 3)


def test_an_empty_set(tmp_path: Path) -> None:
    assert len(TSVDataset(*by_hand(tmp_path, []))) == 0
    assert len(TSVDataset(*paths(tmp_path), on_error="skip")) == 0


GOOD = base64.b64encode(image(1))
JPEG = image(1, "JPEG")
BAD_ROWS: dict[str, tuple[bytes, bytes, str]] = {
    "bad base64": (b"0\t@@@@", b"{}", "is bad base64"),
    "cut base64": (b"0\t" + GOOD[:-3], b"{}", "is bad base64"),
    "wrapped and cut": (b"0\tb'" + GOOD[:33], b"{}", "is bad base64"),
    "no tab": (GOOD, b"{}", "has no tab before its base64"),
    "truncated image": (
        b"0\t" + base64.b64encode(JPEG[: len(JPEG) // 2]),
        b"{}",
        "cannot be decoded .*Truncated",
    ),
    "no image": (b"0\t" + base64.b64encode(b"hello"), b"{}", "cannot be decoded"),
    "bad JSON": (b"0\t" + GOOD, b'{"boxes": [', "bad JSON"),
    "bad UTF-8": (b"0\t" + GOOD, b'{"boxes": "\xff"}', "bad JSON"),
    "deep JSON": (b"0\t" + GOOD, b"[" * 100_000, "bad JSON"),
    "no record": (b"0\t" + GOOD, b"{}", "holds none of"),
    "box outside": (
        b"0\t" + GOOD,
        b'{"boxes": [{"bbox": [100, 5, 900, 20], "phrase": "a"}]}',
        r"bbox \[100, 5, 900, 20\] lies outside the image of 64x48",
    ),
    "box of wrong length": (
        b"0\t" + GOOD,
        b'{"boxes": [{"bbox": [5, 5, 9], "phrase": "a"}]}',
        "must be 4 numbers",
    ),
    "NaN": (b"0\t" + GOOD, b'{"boxes": [{"bbox": [5, 5, 9, NaN], "phrase": "a"}]}', "not finite"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    line, record, reason = BAD_ROWS[name]
    good = (b"0\t" + GOOD, json.dumps(cup(1)).encode())
    files = by_hand(tmp_path, [good, (line, record), good])
    dataset = TSVDataset(*files)
    assert dataset[0].annotation.phrases == dataset[2].annotation.phrases == ["cup"]
    with pytest.raises(DataError, match=reason) as caught:
        dataset[1]
    assert str(caught.value).startswith(f"{files[1]}:2: ")
    assert caught.value.source == f"{files[1]}:2"
    assert "on_error='skip'" in caught.value.reason

    rest = TSVDataset(*files, on_error="skip")
    assert [sample.source for sample in rest] == [f"{files[1]}:1", f"{files[1]}:3"]
    (error,) = rest.skipped
    assert error.source == f"{files[1]}:2"


def beyond_images(files: tuple[Path, Path, Path]) -> None:
    lines = files[1].read_bytes().split(b"\n")
    lines[1] = b"9999999" + lines[1][lines[1].index(b"\t") :]
    files[1].write_bytes(b"\n".join(lines))


def between_images(files: tuple[Path, Path, Path]) -> None:
    lines = files[1].read_bytes().split(b"\n")
    offset, _, record = lines[1].partition(b"\t")
    # As many digits as before, or the index would be wrong as well.
    lines[1] = b"%d\t%b" % (int(offset) + 1, record)
    files[1].write_bytes(b"\n".join(lines))


def long_offset(files: tuple[Path, Path, Path]) -> None:
    lines = files[1].read_bytes().split(b"\n")
    lines[3] = b"9" * 5000 + b"\t{}"
    files[1].write_bytes(b"\n".join(lines[:1] + lines[3:4] + lines[2:3] + lines[1:2] + lines[4:]))
    offsets = [0, len(lines[0]) + 1]
    offsets += [offsets[1] + len(lines[3]) + 1]
    offsets += [offsets[2] + len(lines[2]) + 1]
    files[2].write_text("\n".join(map(str, offsets)))


def no_offset(files: tuple[Path, Path, Path]) -> None:
    lines = files[1].read_bytes().split(b"\n")
    lines[1] = b"x" * len(lines[1])
    files[1].write_bytes(b"\n".join(lines))


def index(line: int, change: Callable[[int], int]) -> Callable[[tuple[Path, Path, Path]], None]:
    def damage(files: tuple[Path, Path, Path]) -> None:
        offsets = files[2].read_text().split()
        offsets[line] = str(change(int(offsets[line])))
        files[2].write_text("\n".join(offsets))

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (beyond_images, "byte 9999999 is beyond .*images.tsv"),
        (between_images, "images.tsv is not the start of a line"),
        (long_offset, "expected a byte offset"),
        (index(1, lambda offset: 10**20), "is beyond .*annotations.tsv"),
        (no_offset, "expected a byte offset, a tab and JSON"),
        (index(1, lambda offset: offset + 10_000), "is beyond .*annotations.tsv"),
        (index(1, lambda offset: offset + 3), "annotations.tsv is not the start of a line"),
        (index(1, lambda offset: -offset), "is beyond"),
    ],
)
def test_offsets_that_lead_nowhere(tmp_path: Path, damage: Any, reason: str) -> None:
    files = write(tmp_path)
    damage(files)
    dataset = TSVDataset(*files)
    check(dataset, 0)
    with pytest.raises(DataError, match=reason) as caught:
        dataset[1]
    assert caught.value.source == f"{files[1]}:2"
    rest = TSVDataset(*files, on_error="skip")
    assert str(files[1]) + ":2" in [error.source for error in rest.skipped]


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    files = write(tmp_path)
    files[2].write_text("0\n12x\n40\n")
    dataset = TSVDataset(*files, partial_index=True)
    with pytest.raises(DataError, match=r":2: line 2 of .*lineidx is no byte offset"):
        dataset[1]
    rest = TSVDataset(*files, partial_index=True, on_error="skip")
    assert rest.skipped[0].source == f"{files[1]}:2"


def test_one_long_line_of_an_index_costs_no_memory(tmp_path: Path) -> None:
    files = write(tmp_path)
    lines = files[2].read_bytes()
    files[2].write_bytes(lines + b"9" * 300_000 + b"\n" + b"7\n" * 20_000)
    tracemalloc.start()
    dataset = TSVDataset(*files, partial_index=True)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    with pytest.raises(DataError, match="is beyond"):
        dataset[lines.count(b"\n")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = write(tmp_path)
    files[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"images\.tsv"):
        TSVDataset(*files)


def test_misspelt_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'skip'"):
        TSVDataset(*write(tmp_path), on_error="skipp")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="box_format: 'xyxx'"):
        TSVDataset(*paths(tmp_path), box_format="xyxx")  # type: ignore[arg-type]


def first_pixels(dataset: TSVDataset, rows: list[int]) -> list[int]:
    return [dataset[row].image.getpixel((0, 0))[0] for row in rows]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_at_once(tmp_path: Path, start: str) -> None:
    dataset = TSVDataset(*write(tmp_path, size=60))
    check(dataset, 7)  # the files are mapped before the workers start
    rows = list(range(60))
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        found = list(pool.map(first_pixels, [dataset] * 6, [rows] * 6))
    assert found == [rows] * 6


def test_threads_read_at_once(tmp_path: Path) -> None:
    dataset = TSVDataset(*write(tmp_path, size=60))
    with ThreadPoolExecutor(8) as pool:
        assert (
            list(pool.map(first_pixels, [dataset] * 20, [list(range(60))] * 20))
            == [list(range(60))] * 20
        )


def test_a_loader_with_workers(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader(
        TSVDataset(*write(tmp_path, size=20)),
        batch_size=4,
        num_workers=2,
        multiprocessing_context="fork",
        collate_fn=lambda samples: [s.image.getpixel((0, 0))[0] for s in samples],
    )
    assert [pixel for batch in loader for pixel in batch] == list(range(20))


def test_nothing_open_is_pickled(tmp_path: Path) -> None:
    dataset = TSVDataset(*write(tmp_path))
    check(dataset, 1)
    check(pickle.loads(pickle.dumps(dataset)), 1)
