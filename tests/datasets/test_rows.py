"""Rows that cannot be used: raised or left out, the same in every run and process."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
from pathlib import Path

import pytest
from PIL import Image

from rexkit.datasets import ConcatDataset, JsonlDataset
from rexkit.datasets import row_dataset as rows_module
from rexkit.errors import DataError
from rexkit.registry import DATASETS


def write(folder: Path, size: int = 1000, bad: tuple[int, ...] = ()) -> Path:
    """Rows of one image; row n has a point at x = n % 32, bad ones are outside the image."""
    Image.new("RGB", (32, 8)).save(folder / "a.png")
    row = '{{"image": "a.png", "points": [{{"point": [{x}, 1], "phrase": "cup"}}]}}\n'
    text = "".join(row.format(x=99 if n in bad else n % 32) for n in range(size))
    (folder / "rows.jsonl").write_text(text)
    return folder / "rows.jsonl"


def test_skip_skips_unusable_rows_and_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = (0, 255, 256, 511, 700, 999)
    path = write(tmp_path, bad=bad)
    with caplog.at_level(logging.WARNING):
        dataset = JsonlDataset(path, on_error="skip")
    assert [e.source for e in dataset.skipped] == [f"{path}:{n + 1}" for n in bad]
    assert "6 of 1000 rows are skipped" in caplog.text
    kept = [n for n in range(1000) if n not in bad]
    assert [sample.source for sample in dataset] == [f"{path}:{n + 1}" for n in kept]
    with pytest.raises(IndexError):
        dataset[994]


def test_raise_reads_nothing_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, size=3, bad=(1,))
    read: list[bytes] = []
    decode = rows_module.decode_oriented
    monkeypatch.setattr(
        rows_module, "decode_oriented", lambda d, b: (read.append(d), decode(d, b))[1]
    )
    dataset = JsonlDataset(path)
    assert (len(dataset), read, dataset.skipped) == (3, [], [])
    assert dataset[0].annotation.phrases == ["cup"]
    with pytest.raises(DataError, match=r"rows\.jsonl:2: .*outside"):
        dataset[1]
    assert dataset[2].annotation.phrases == ["cup"]
    assert len(read) == 3


def test_the_first_flat_box_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path)
    boxes = '{"bbox": [1, 1, 9, 7], "phrase": "cup"}, {"bbox": [2, 3, 9, 3], "phrase": "rope"}'
    (tmp_path / "flat.jsonl").write_text(f'{{"image": "a.png", "boxes": [{boxes}]}}\n' * 2)
    dataset = JsonlDataset(tmp_path / "flat.jsonl")
    with caplog.at_level(logging.WARNING):
        assert [len(sample.annotation.instances) for sample in dataset] == [2, 2]
    [record] = [r for r in caplog.records if "no width or no height" in r.message]
    assert "flat.jsonl:1: the box [2.0, 3.0, 9.0, 3.0] of 'rope'" in record.message


def test_an_index_means_the_same_row_in_every_process(tmp_path: Path) -> None:
    path = write(tmp_path, size=600, bad=(3, 300))
    here = JsonlDataset(path, on_error="skip")
    there = pickle.loads(pickle.dumps(here))
    assert [s.source for s in here] == [s.source for s in there]
    assert [str(e) for e in here.skipped] == [str(e) for e in there.skipped]


def test_errors_come_back_from_workers() -> None:
    error = DataError("bad JSON", "rows.jsonl:3")
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.source) == (error.reason, error.source)
    # A loader's worker sends the type and the text.
    assert "rows.jsonl:3: bad JSON" in str(type(error)(f"caught in a worker\n{error}"))


def test_errors_keep_no_image_alive(tmp_path: Path) -> None:
    dataset = JsonlDataset(write(tmp_path, size=3, bad=(0, 1, 2)), on_error="skip")
    for error in dataset.skipped:
        # A traceback holds the frames, and with them the image.
        assert (error.__traceback__, error.__context__) == (None, None)


def test_concatenation(tmp_path: Path) -> None:
    path = write(tmp_path, size=5, bad=(2,))
    rows = dict(type="JsonlDataset", ann_file=str(path), on_error="skip")
    shapes = dict(type="ShapesDataset", size=3)
    nested = ConcatDataset([ConcatDataset([rows]), DATASETS.build(shapes)])
    both = DATASETS.build(dict(type="ConcatDataset", datasets=[nested, rows]))
    assert len(both) == 4 + 3 + 4
    sources = [sample.source for sample in both]
    assert sources[:4] == sources[7:] == [f"{path}:{n}" for n in (1, 2, 4, 5)]
    assert sources[4] == "ShapesDataset(seed=0)[0]"
    assert [error.source for error in both.skipped] == [f"{path}:3"] * 2
    for index in (-1, 11):
        with pytest.raises(IndexError):
            both[index]
    assert len(ConcatDataset([])) == 0


def test_a_config_inside_a_concatenation_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"datasets\.1.*'ShapesDataset'"):
        ConcatDataset([dict(type="ShapesDataset"), dict(type="ShapeDataset")])


def write_boxes(folder: Path, boxes: list[list[int]]) -> Path:
    """One image of 32 x 8 a row, with a box each."""
    Image.new("RGB", (32, 8)).save(folder / "a.png")
    row = '{{"image": "a.png", "boxes": [{{"bbox": {box}, "phrase": "cup"}}]}}\n'
    (folder / "boxes.jsonl").write_text("".join(row.format(box=box) for box in boxes))
    return folder / "boxes.jsonl"


INSIDE, LEAVING, AWAY = [1, 1, 30, 7], [20, 1, 50, 7], [50, 1, 60, 7]


def test_boxes_that_leave_their_image_are_clamped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_boxes(tmp_path, [INSIDE, LEAVING, LEAVING, INSIDE, LEAVING])
    dataset = JsonlDataset(path)
    assert (dataset.clamped_boxes, dataset.clamped_rows) == (0, [])
    assert dataset[1].annotation.boxes().tolist() == [[20, 1, 32, 7]]
    [warning] = caplog.messages
    assert f"{path}:2: boxes[0] 'cup': bbox [20, 1, 50, 7] leaves the image of 32x8" in warning
    assert "on_outside='raise'" in warning
    for index in (0, 1, 2, 2):
        dataset[index]
    assert len(caplog.messages) == 1  # the others are reported at the end
    assert (dataset.clamped_boxes, dataset.clamped_rows) == (2, [f"{path}:2", f"{path}:3"])
    assert pickle.loads(pickle.dumps(dataset)).clamped_boxes == 2


def test_clamped_boxes_are_reported_before_the_run_with_skip(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_boxes(tmp_path, [LEAVING, AWAY, LEAVING, INSIDE, LEAVING, LEAVING])
    dataset = JsonlDataset(path, on_error="skip")
    assert [error.source for error in dataset.skipped] == [f"{path}:2"]
    assert dataset.clamped_boxes == 4
    assert len(caplog.messages) == 2
    places = f"{path}:1, {path}:3, {path}:5, …"
    assert caplog.messages[1] == (
        f"4 boxes in 4 rows leave their image and are clamped to it: {places}"
    )


def test_boxes_that_leave_their_image_are_errors_on_request(tmp_path: Path) -> None:
    path = write_boxes(tmp_path, [INSIDE, LEAVING])
    strict = JsonlDataset(path, on_outside="raise")
    with pytest.raises(DataError, match=r"boxes\.jsonl:2: .* lies outside"):
        strict[1]
    skipping = JsonlDataset(path, on_error="skip", on_outside="raise")
    assert (len(skipping), len(skipping.skipped), skipping.clamped_boxes) == (1, 1, 0)
    with pytest.raises(ValueError, match=r"on_outside: 'clip' .*clamp"):
        JsonlDataset(path, on_outside="clip")


def test_clamped_boxes_of_worker_processes_are_counted(tmp_path: Path) -> None:
    path = write_boxes(tmp_path, [LEAVING, INSIDE, LEAVING])
    dataset = ConcatDataset([JsonlDataset(path)])

    def read_all() -> None:
        for index in range(len(dataset)):
            dataset[index]

    worker = multiprocessing.get_context("fork").Process(target=read_all)
    worker.start()
    worker.join()
    assert (dataset.clamped_boxes, dataset.clamped_rows) == (2, [f"{path}:1", f"{path}:3"])


def test_unusable_outlines_are_counted_and_the_first_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_boxes(tmp_path, [INSIDE, INSIDE, INSIDE])
    text = path.read_text().replace('"phrase"', '"segmentation": [[1, 2, 3, 4]], "phrase"')
    path.write_text(text)
    dataset = ConcatDataset([JsonlDataset(path)])
    assert len([dataset[0], dataset[1], dataset[1]]) == 3
    [warning] = caplog.messages
    assert f"{path}:1: boxes[0] 'cup': polygon [1, 2, 3, 4] must be" in warning
    assert (dataset.left_out_outlines, dataset.left_out_rows) == (2, [f"{path}:1", f"{path}:2"])
    JsonlDataset(path, on_error="skip")
    assert caplog.messages[1].startswith("3 outlines in 3 rows cannot be used and are left out: ")
