"""Conversations about images: ms-swift's rows with objects, sharegpt's with answers of Rex-Omni."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.datasets import ChatDataset
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.sharegpt import read_sharegpt, to_sharegpt
from rexkit.formats.swift import geometry, read_swift, to_swift
from rexkit.grammar import write
from rexkit.registry import DATASETS
from rexkit.structures import Instance

SIZE = (64, 48)
A, B = [1, 2, 30.5, 40], [5, 6, 20, 30]


def swift(*contents, ref=(), bbox=(), **objects):
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    listed = {"ref": [*ref], "bbox": [*bbox], **objects}
    return {"messages": messages, "images": ["a.png"], "objects": listed}


def read(row, **options):
    return read_record(read_swift(row, lambda: SIZE, **options), SIZE)


def by_phrase(annotation):
    return [
        (i.phrase, (i.point if i.bbox is None else i.bbox).tolist()) for i in annotation.instances
    ]


ITEM = '{"bbox_2d": <bbox>, "label": "<ref-object>"}'


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # The examples of the documentation.
        (
            swift("<image>Describe the image.", "<ref-object><bbox> and <ref-object><bbox> play",
                  ref=["a dog", "a woman"], bbox=[A, B]),
            [("a dog", A), ("a woman", B)],
        ),
        (
            swift("<image>Find the <ref-object> in the image", "<bbox><bbox>", ref=["sheep"],
                  bbox=[A, B]),
            [("sheep", A), ("sheep", B)],
        ),
        (
            swift("<image>Find <ref-object>", f"[{ITEM}, {ITEM}]",
                  ref=["sheep", "sheep", "goat"], bbox=[A, B]),
            [("sheep", A), ("goat", B)],
        ),
        # Several questions.
        (
            swift("<image>Find <ref-object>", "<bbox>", "And <ref-object>?", "<bbox>",
                  ref=["cup", "dog"], bbox=[A, [3, 4]]),
            [("cup", A), ("dog", [3, 4])],
        ),
        (swift("<image>Who?", "<ref-object><bbox>", ref=["a"], bbox=[[0.5, 0.5, 1, 1]],
               bbox_type="norm1"), [("a", [32, 24, 64, 48])]),
        (swift("<image>Who?", "<ref-object><bbox>", ref=["a"], bbox=[[500, 500, 1000, 1000]],
               bbox_type="norm1000"), [("a", [32, 24, 64, 48])]),
        ({"messages": [{"role": "user", "content": "Hello"}], "images": ["a.png"]}, []),
    ],
)  # fmt: skip
def test_boxes_have_the_phrase_that_the_text_gives_them(row, expected):
    assert by_phrase(read(row)) == expected


def test_absent_phrases_and_messages():
    row = swift("<image>Find <ref-object>, <ref-object>.", "<ref-object>: None, <ref-object><bbox>",
                ref=["dog", "cup", "dog", "cup"], bbox=[A])  # fmt: skip
    found = read(row | {"id": 7})
    assert (found.absent, found.phrases) == (["dog"], ["cup", "dog"])
    assert found.extra == {"id": 7, "messages": row["messages"], "refs": row["objects"]["ref"]}


CLICK = swift("<image>Open Chrome", "click('<bbox>')", bbox=[[6, 2]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (CLICK, "could be of none; write <ref-object> right before its <bbox>, or set phrase"),
        (swift("<image>Find <ref-object> and <ref-object>", "<bbox><bbox>", ref=["a", "b"],
               bbox=[A, B]), r"this one could be of any of \['a', 'b'\]"),
        (swift("<image>What is at <bbox>?", "<ref-object>", ref=["a"], bbox=[A]), "be of none"),
        (swift("", "<ref-object> <ref-object><bbox>", ref=["a", "b"], bbox=[A]), "could be of any"),
        (swift("", "<ref-object><bbox>", ref=["a"], bbox=[A, B]), "bbox has 2, and the messages 1"),
        (swift("", "<ref-object><bbox>", ref=["a", "a"], bbox=[A]), "ref has 2, and the me"),
        (swift("", "<ref-object><bbox>", ref=["a"], bbox=[[1, 2, 3]]), "must be 4 or 2 numbers"),
        (swift("", "<ref-object><bbox>", ref=["a"], bbox=[A], bbox_type="yolo"), "one of .'real'"),
        (swift("", "<ref-object><bbox>", ref=[3], bbox=[A]), "objects: ref must be a list of str"),
        (swift("", "<ref-object><bbox>", ref=["a"], bbox=[A], width=[9], height=[9]), "of 9x9"),
        ({"messages": [], "images": ["a.png"]}, "a row of a conversation has 'messages'"),
        ({"messages": [3]}, r"messages\[0\] must be an object"),
        ({"messages": [{"content": "a"}]}, "must have a role"),
        ({"messages": [{"role": "user", "content": 3}]}, "must have a text, got 3"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "a text or an image"),
    ],
)  # fmt: skip
def test_rows_of_swift_that_cannot_be_used(row, message):
    with pytest.raises(DataError, match=message):
        read(row)


def test_the_phrase_of_clicks():
    assert by_phrase(read(CLICK, phrase="target")) == [("target", [6, 2])]


def test_parts_of_messages():
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Hello"}]
    row = {"messages": [{"role": "user", "content": parts}]}
    assert read(row).extra["messages"] == [{"role": "user", "content": "<image>Hello"}]


@given(annotations())
@settings(max_examples=40, deadline=None)
def test_what_swift_is_written_is_read_back(annotation):
    row = to_swift(annotation, "a.png")
    kept = [i for i in annotation.instances if geometry(i) is not None]
    if row is None:
        assert not kept
        assert not annotation.absent
        return
    found = read(json.loads(json.dumps(row)))
    kept.sort(key=lambda i: i.phrase)
    again = sorted(found.instances, key=lambda i: i.phrase)
    assert [(i.phrase, geometry(i)) for i in kept] == [(i.phrase, geometry(i)) for i in again]
    assert {*found.absent} == {*annotation.absent} - {i.phrase for i in kept}
    assert to_swift(found, "a.png") == row


@given(annotations())
@settings(max_examples=40, deadline=None)
def test_what_sharegpt_is_written_is_read_back(annotation):
    row = to_sharegpt(annotation, "a.png")
    kept = [i for i in annotation.instances if geometry(i) is not None]
    if row is None:
        assert not kept
        assert not annotation.absent
        return
    found = read_record(read_sharegpt(json.loads(json.dumps(row)), SIZE), SIZE)
    assert sorted(i.phrase for i in kept) == sorted(i.phrase for i in found.instances)
    assert {*found.absent} == {*annotation.absent} - {i.phrase for i in kept}
    assert to_sharegpt(found, "a.png") == row


def test_answers_that_do_not_follow_the_grammar_are_errors():
    answer = write([Instance("cup", bbox=A)], SIZE)
    row = {"conversations": [{"from": "human", "value": "Find"}, {"from": "gpt", "value": answer}]}
    assert read_sharegpt(row, SIZE)["boxes"][0]["phrase"] == "cup"
    row["conversations"][1]["value"] = answer[:-20]
    with pytest.raises(DataError, match="an answer does not follow the grammar at character"):
        read_sharegpt(row, SIZE)
    row["conversations"][1]["value"] = "A cup at [1, 2, 3, 4]."
    assert read_sharegpt(row, SIZE)["boxes"] == []


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize("kind", ["lines", "list"])
@pytest.mark.parametrize(
    ("name", "key"), [("SwiftDataset", "messages"), ("ShareGptDataset", "conversations")]
)
def test_files_of_either_form(name, key, kind, folder):
    rows = [
        {key: [{"role": "user", "content": "a"}], "image": "a.png"},
        {key: [{"role": "user", "content": "a"}]},
        {key: [{"role": "user", "content": "a"}], "images": ["a.png", "a.png"]},
        {key: [{"role": "user", "content": "a"}], "images": [{"bytes": None, "path": "a.png"}]},
        {key: [{"role": "user", "content": "a"}], "images": [3]},
    ]
    lines = [json.dumps(row) for row in rows]
    text = "\n".join(lines) if kind == "lines" else f"[{', '.join(lines)}]"
    file = folder / ("rows.jsonl" if kind == "lines" else "rows.json")
    file.write_text(text)
    config = dict(type=name, ann_file=str(file))
    dataset = DATASETS.build(config)
    assert dataset[0].annotation.extra["messages"] == [{"role": "user", "content": "a"}]
    for row, message in ((1, "rows of text alone are read by ChatDataset"), (2, "this one has 2"),
                         (4, "image must be a path, got 3")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            dataset[row]
    assert len(DATASETS.build(config | dict(on_error="skip"))) == 2
    assert find_format(folder)[0] == ("swift" if key == "messages" else "sharegpt")


def test_chat_rows_go_from_one_to_the_other_and_back(folder):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<image>How many?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes."},
    ]
    row = {"messages": messages, "images": ["a.png"], "id": 7}
    (folder / "rows.jsonl").write_text(json.dumps(row))
    for source, target, name in (("rows.jsonl", "b", "sharegpt"), ("b", "c", "swift")):
        words = [str(folder / source), str(folder / target), "--to", name, "--workers", "1"]
        assert main(words) == 0
    [found] = map(json.loads, (folder / "c" / "train.jsonl").read_text().splitlines())
    assert found == {"messages": messages, "images": ["images/a.png"]}
    [listed] = json.loads((folder / "b" / "train.json").read_text())
    assert [turn["from"] for turn in listed["conversations"]] == [
        *("system", "human", "gpt", "human", "gpt")
    ]
    sample = ChatDataset(folder / "b" / "train.json", turns="first")[0]
    assert sample.annotation.extra == {"question": "How many?", "answer": "Two."}
    info = json.loads((folder / "b" / "dataset_info.json").read_text())
    assert info["train"]["file_name"] == "train.json"


def test_messages_about_other_instances_are_written_anew(folder, capsys):
    row = swift("<image>Find <ref-object>", "<bbox>", ref=["cup"], bbox=[A])
    other = swift("<image>Where is <ref-object>?", "<bbox>", ref=["dog"], bbox=[B])
    (folder / "rows.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")
    words = [str(folder / "rows.jsonl"), str(folder / "out"), "--to", "swift", "--workers", "1"]
    assert main(words) == 0  # the two rows of one image become one
    assert "1 image attributes: left out" in capsys.readouterr().err
    [line] = map(json.loads, (folder / "out" / "train.jsonl").read_text().splitlines())
    assert line["objects"] == {"ref": ["cup", "dog", "cup", "dog"], "bbox": [A, B]}


def test_what_is_lost_is_counted(folder, capsys):
    row = {"image": "a.png", "instances": [{"phrase": "cup", "bbox": A, "point": [3, 4]}]}
    nothing = {"image": "b.png", "boxes": [{"phrase": "cup", "bbox": A, "ignore": True}]}
    Image.new("RGB", SIZE).save(folder / "b.png")
    (folder / "rows.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(nothing)}\n")
    for name, lines in (
        ("swift", ["1 points: left out of instances that have a box"]),
        ("sharegpt", ["2 boxes: rounded", "1 points: rounded likewise"]),
    ):
        words = [str(folder / "rows.jsonl"), str(folder / name), "--to", name, "--workers", "1"]
        assert main(words) == 0
        said = capsys.readouterr().err
        for line in [*lines, "1 images: without a phrase", "1 ignored instances: left out"]:
            assert line in said


@pytest.mark.parametrize("name", ["swift", "sharegpt"])
def test_real_points_and_boxes_come_back(name, shared_data, tmp_path):
    lines = [json.loads(x) for x in (shared_data / "pointing" / "points.jsonl").open()][:2]
    for row in lines:
        row["image"] = str(shared_data / "pointing" / row["image"])
        row["instances"] = [{"point": i["point"]} for i in row["instances"]]
    source = tmp_path / "source.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in lines))
    assert main([str(source), str(tmp_path / "out"), "--to", name, "--workers", "1"]) == 0
    _, form, _ = find_format(tmp_path / "out")
    [split] = form.open(tmp_path / "out", None).values()
    for index, row in enumerate(lines):
        found = split.dataset.described(index)[0]
        given_points = np.array([i["point"] for i in row["instances"]])
        order = np.lexsort(given_points.T), np.lexsort(found.points().T)
        if name == "swift":
            np.testing.assert_array_equal(found.points(), given_points)
        else:
            assert len(order[0]) == len(order[1])
            distances = np.abs(found.points()[:, None] - given_points[None]).max(-1).min(1)
            assert distances.max() <= max(found.image_size) / 999
