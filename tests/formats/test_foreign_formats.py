"""Files and rows of other formats: named, with what to do, and never read as something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rexkit.datasets import JsonlDataset
from rexkit.errors import DataError
from rexkit.formats import JsonLinesFile, parse_json

ROW = {"image": "a.png", "boxes": [{"bbox": [5, 5, 20, 20], "phrase": "cup"}]}
TASK = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": []}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    return tmp_path


def opened(folder: Path, text: str, encoding: str = "utf-8") -> JsonlDataset:
    (folder / "rows.jsonl").write_text(text, encoding)
    return JsonlDataset(folder / "rows.jsonl")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (json.dumps([ROW] * 20, indent=1)[:-9], "bad JSON"),
        (json.dumps([TASK], indent=2), "one JSON list.* Label Studio's JSON, which LabelStudio"),
        (json.dumps({"images": [], "annotations": []}, indent=1), "COCO JSON, which CocoDataset"),
        (json.dumps(ROW, indent=1), "one JSON object over several lines, .*; write one object a"),
        ('{"shapes": [],\n"imagePath": "a.png"}', "a LabelMe file"),
        ("\ufeff" + json.dumps(ROW), None),
        (json.dumps(ROW) + "\n" + json.dumps([ROW]), None),
        ("{broken\n" + json.dumps(ROW), None),
        ('{"image": "a.png", "note": "a\n' + json.dumps(ROW), None),
        ("", None),
    ],
)  # fmt: skip
def test_files_that_are_one_value(folder: Path, text: str, reason: str | None) -> None:
    if reason is None:
        opened(folder, text)
        return
    with pytest.raises(DataError, match=reason) as caught:
        opened(folder, text)
    assert caught.value.source == str(folder / "rows.jsonl")


@pytest.mark.parametrize(
    "text",
    [json.dumps([ROW, 3, ROW], indent=1), "\ufeff[\n" + f"{json.dumps(ROW)},\n3, " * 2 + "3]"],
)
def test_the_items_of_one_list_are_rows(folder: Path, text: str) -> None:
    dataset = opened(folder, text)
    assert dataset[0].annotation.phrases == dataset[0].annotation.phrases == ["cup"]
    with pytest.raises(DataError, match=r"rows.jsonl\[1\]: a row must be a JSON object"):
        dataset[1]
    rest = JsonlDataset(folder / "rows.jsonl", on_error="skip")
    assert [sample.source[-3:] for sample in rest] == ["[0]", "[2]"]


def test_a_byte_order_mark_costs_nothing(folder: Path) -> None:
    (sample,) = opened(folder, json.dumps(ROW) + "\n", "utf-8-sig")
    assert sample.annotation.phrases == ["cup"]
    with pytest.raises(DataError, match="is UTF-16; save it as UTF-8"):
        opened(folder, json.dumps(ROW) + "\n", "utf-16")


CONVERSATION = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "[1, 2, 3, 4]"}]
FOREIGN: list[tuple[dict[str, Any], str]] = [
    ({"image": "a.png", "conversations": CONVERSATION}, "this is a conversation: ChatData"),
    ({"messages": [{"role": "user"}], "images": ["a.png"]}, "this is a conversation: ChatData"),
    (TASK, "Label Studio's JSON"),
    ({"image": "a.png", "label": [{"x": 1, "original_width": 64}]}, "JSON-MIN; export as JSON"),
    ({"image": "a.png", "gt": {"cup": [[1, 2, 3, 4]]}}, "holds none of"),
    ({"image_path": "a.png", "gt": {}}, "use RexOmniEvalDataset"),
    ({"image": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}, "row of an image folder"),
    ({"filename": "a.png", "detection": {"instances": []}}, "row of ODVG, which OdvgDataset reads"),
    ({"image": "a.png", "boxs": []}, "did you mean 'boxes'"),
]


@pytest.mark.parametrize(("row", "reason"), FOREIGN)
def test_rows_of_other_formats(folder: Path, row: dict[str, Any], reason: str) -> None:
    dataset = opened(folder, json.dumps(row) + "\n" + json.dumps(ROW) + "\n")
    with pytest.raises(DataError, match=reason) as caught:
        dataset[0]
    assert caught.value.source == f"{folder / 'rows.jsonl'}:1"
    assert dataset[1].annotation.phrases == ["cup"]


def test_keys_that_are_there_twice(folder: Path) -> None:
    twice = '{"image": "a.png", "boxes": [{"phrase": "a", "bbox": [1, 2, 3, 4], "phrase": "b"}]}'
    with pytest.raises(DataError, match=r"rows\.jsonl:2: bad JSON .*has the key 'phrase' twice"):
        opened(folder, f"{json.dumps(ROW)}\n{twice}\n")[1]
    with pytest.raises(DataError, match="its keys are"):
        parse_json(twice.encode())
    assert parse_json(b'[{"a": 1}, {"a": 2}]') == [{"a": 1}, {"a": 2}]
    path = folder / "lines.jsonl"
    path.write_text('{"a": {"b": 1}}\n')
    assert JsonLinesFile(path).value(0) == {"a": {"b": 1}}
