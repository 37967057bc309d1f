"""Rows of expressions, instructions, chats and Parquet are read, or data errors with a place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_dataset_rows import ROUNDS, Mutations, check, files

from rexkit.datasets import (
    ParquetDataset,
    RefcocoDataset,
    ScreenspotDataset,
    ShareGptDataset,
    SwiftDataset,
)
from rexkit.errors import ConfigError, DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.parquet import read_objects, to_row, write_rows
from rexkit.grammar import write
from rexkit.structures import Annotation, Instance

ROWS = 12
SIZE = (32, 32)
CUP = Instance("cup", bbox=[1, 1, 9, 9])

REF = {
    "ref_id": 0,
    "ann_id": 11,
    "category_id": 1,
    "image_id": 7,
    "file_name": "a_1.png",
    "split": "train",
    "no_target": False,
    "sentences": [{"tokens": ["cup"], "raw": "cup", "sent": "left cup", "sent_id": 1}],
}
INSTANCES = {
    "images": [{"id": 7, "file_name": "a.png", "width": 32, "height": 32}],
    "annotations": [
        {"id": 11, "image_id": 7, "category_id": 1, "bbox": [1, 1, 8, 8], "iscrowd": 0}
    ],
    "categories": [{"id": 1, "name": "cup"}],
}
SCREEN = {
    "img_filename": "a.png",
    "bbox": [1, 1, 8, 8],
    "instruction": "close",
    "data_type": "icon",
}
SWIFT = {
    "messages": [
        {"role": "user", "content": "<image>Find <ref-object>"},
        {"role": "assistant", "content": "<bbox>, {<bbox> <ref-object>}, <ref-object>None"},
    ],
    "images": ["a.png"],
    "objects": {"ref": ["cup", "pin", "dog"], "bbox": [[1, 1, 9, 9], [3, 4]], "bbox_type": "real"},
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "<image>Find cup, dog."},
        {"from": "gpt", "value": write([CUP], SIZE, phrases=["cup", "dog"])},
    ],
    "images": [{"path": "a.png"}],
}
OBJECTS = {
    "image": None,
    "width": 32,
    "height": 32,
    "objects": {"bbox": [[1, 1, 8, 8]], "category": [0], "more": ['{"text": "EXIT"}']},
    "ignored": [{"bbox": [1, 1, 8, 8], "category": "cup", "more": None}],
    "absent": ["dog"],
    "extra": '{"place": "kitchen"}',
}


def written(folder: Path, name: str, value: Any) -> Path:
    (folder / name).write_text(json.dumps(value))
    return folder / name


def refcoco(folder: Path, m: Mutations) -> Path:
    is_refs = m.generator.random() < 0.7
    refs = [m.of(REF) if is_refs else REF for _ in range(ROWS)]
    written(folder, "instances.json", INSTANCES if is_refs else m.of(INSTANCES))
    return written(folder, "grefs(unc).json", refs)


def rows(folder: Path, m: Mutations, template: Any) -> Path:
    listed = [m.of(template) for _ in range(ROWS)]
    if m.generator.random() < 0.5:
        return written(folder, "rows.json", listed)
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in listed))
    return folder / "rows.jsonl"


def screens(folder: Path, m: Mutations) -> Path:
    return written(folder, "screens.json", [m.of(SCREEN) for _ in range(ROWS)])


def parquet(folder: Path, m: Mutations) -> Path:
    """Write a whole file, or one with some bytes changed."""
    image = (folder / "a.png").read_bytes()
    row = to_row(Annotation(SIZE, [CUP], ["dog"]), image, "a.png")
    with (folder / "rows.parquet").open("wb") as file:
        write_rows(file, iter([[row] * ROWS]))
    data = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").write_bytes(data if m.generator.random() < 0.5 else m.bytes(data))
    return folder / "rows.parquet"


DATASETS: dict[str, Callable[[Path, Mutations, str], Any]] = {
    "refcoco": lambda f, m, e: RefcocoDataset(refcoco(f, m), f, on_error=e),  # type: ignore[arg-type]
    "screenspot": lambda f, m, e: ScreenspotDataset(screens(f, m), on_error=e),  # type: ignore[arg-type]
    "swift": lambda f, m, e: SwiftDataset(rows(f, m, SWIFT), on_error=e),  # type: ignore[arg-type]
    "sharegpt": lambda f, m, e: ShareGptDataset(rows(f, m, SHAREGPT), on_error=e),  # type: ignore[arg-type]
    "parquet": lambda f, m, e: ParquetDataset(parquet(f, m), on_error=e),  # type: ignore[arg-type]
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rows")
    files(made)
    return made


@pytest.mark.parametrize("name", DATASETS)
def test_any_row_is_read_or_is_a_data_error(name: str, folder: Path) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    mutations = Mutations(15)
    usable = 0
    for _ in range(max(4, ROUNDS // 3)):
        strict = bool(mutations.generator.random() < 0.3)
        try:
            dataset = DATASETS[name](folder, mutations, "raise" if strict else "skip")
        except (DataError, ConfigError) as error:  # the file as a whole
            check(error, row=False)
            continue
        for error in dataset.skipped:
            check(error)
        for index in range(len(dataset)):
            try:
                dataset[index]
                usable += 1
            except DataError as error:
                assert strict
                check(error)
    assert usable > (ROUNDS / 20 if name == "refcoco" else ROUNDS / 4)  # a row for each image


def test_any_columns_are_read_or_are_a_data_error() -> None:
    mutations = Mutations(16)
    usable = 0
    for _ in range(ROUNDS * 10):
        try:
            record = read_objects(mutations.of(OBJECTS), {"category": ["cup"]})
            read_record(record, SIZE, "xywh")
            usable += 1
        except DataError as error:
            check(error, row=False)
    assert usable > ROUNDS
