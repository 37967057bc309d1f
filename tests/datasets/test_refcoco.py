"""Referring expressions as REFER and gRefCOCO have them."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.errors import DataError
from rexkit.formats.annotation_records import to_record
from rexkit.formats.plain_pickle import read_plain_pickle
from rexkit.instances import extent
from rexkit.registry import DATASETS

SIZE = (64, 48)


def ref(number, ann_id, *sentences, split="train", image=7, **fields):
    listed = [{"tokens": s.split(), "raw": s, "sent": s, "sent_id": n} for n, s in
              enumerate(sentences)]  # fmt: skip
    own = {"ref_id": number, "ann_id": ann_id, "category_id": 1, "image_id": image}
    return {**own, "split": split, "sentences": listed, "file_name": "a_1.jpg", **fields}


REFS = [
    ref(0, 11, "left cup", "cup with a handle"),
    ref(1, 12, "right cup"),
    ref(2, 11, "the cup", split="testA", image=7),
]
OBJECTS = {
    "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}],
    "annotations": [
        {"id": 11, "image_id": 7, "category_id": 1, "bbox": [1, 2, 10, 20], "iscrowd": 0,
         "segmentation": [[1, 2, 11, 2, 11, 22]], "area": 100},
        {"id": 12, "image_id": 7, "category_id": 1, "bbox": [30, 2, 10, 20], "iscrowd": 0},
        {"id": 13, "image_id": 7, "category_id": 1, "bbox": [50, 2, 10, 20], "iscrowd": 0},
    ],
    "categories": [{"id": 1, "name": "cup"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", SIZE).save(tmp_path / "images" / "a.jpg")
    (tmp_path / "instances.json").write_text(json.dumps(OBJECTS))
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(REFS, protocol=0))
    return tmp_path


def build(folder, **options):
    return DATASETS.build(dict(type="RefcocoDataset", root=str(folder), **options))


def test_expressions_of_a_split(folder):
    dataset = build(folder, split="train")
    [first, second, third] = dataset[0].annotation.instances
    assert [i.phrase for i in (first, second, third)] == [
        "left cup",
        "cup with a handle",
        "right cup",
    ]
    assert first.bbox.tolist() == second.bbox.tolist() == [1, 2, 11, 22]
    assert first.polygon.shape == (3, 2)
    assert (first.extra["ref_id"], first.extra["category"]) == (0, "cup")
    assert build(folder, split="testA")[0].annotation.phrases == ["the cup"]
    with pytest.raises(DataError, match=r"no split 'test'; did you mean 'testA'"):
        build(folder, split="test")


def test_references_to_several_objects_and_to_none(folder):
    (folder / "refs(unc).p").unlink()
    grefs = [ref(0, [11, 12], "both cups", category_id=[1, 1], no_target=False)]
    grefs.append(ref(1, [-1], "a dog", category_id=[-1], no_target=True))
    (folder / "grefs(unc).json").write_text(json.dumps(grefs))
    annotation = build(folder)[0].annotation
    assert annotation.boxes("both cups").shape == (2, 4)
    assert annotation.absent == ["a dog"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ann_id": 99}, "reference 0 is to the annotation 99, which instances.json does not have"),
        ({"image_id": 8}, "image 8: instances.json has no such image"),
    ],
)
def test_references_that_lead_nowhere(folder, change, message):
    (folder / "refs(unc).p").write_bytes(pickle.dumps([REFS[0] | change, ref(1, 12, "a")]))
    with pytest.raises(DataError, match=message):
        [*build(folder)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (3, r"refs\(unc\).p\[0\]: a reference must be an object, got 3"),
        ({"ref_id": 1, "ann_id": 2}, "a reference has 'image_id'; this one has"),
        (ref(0, 11), "a reference has one sentence or more"),
        (
            ref(0, 11, "a") | {"sentences": ["a"]},
            r"sentences\[0\] must have a text 'sent', got 'a'",
        ),
        (ref(0, {}, "a"), "an id must be a number, got {}"),
        (ref(0, 11, "a", split=3), "split must be a text, got 3"),
    ],
)
def test_references_that_cannot_be_used(folder, bad, message):
    (folder / "refs(unc).p").write_bytes(pickle.dumps([bad, ref(1, 12, "right")]))
    with pytest.raises(DataError, match=message):
        build(folder)
    dataset = build(folder, on_error="skip")
    assert dataset[0].annotation.phrases == ["right"]
    assert len(dataset.skipped) == 1


def test_several_makers_of_splits(folder):
    (folder / "refs(google).p").write_bytes(pickle.dumps(REFS[1:2]))
    with pytest.raises(DataError, match=r"set split_by, one of \['google', 'unc'\]"):
        build(folder)
    assert build(folder, split_by="google")[0].annotation.phrases == ["right cup"]
    with pytest.raises(DataError, match="no splits are by 'umd'"):
        build(folder, split_by="umd")
    _, found, _ = find_format(folder / "refs(google).p")
    assert [*found.open(folder / "refs(google).p", None)] == ["train"]


class Harmful:
    def __reduce__(self):
        return os.system, ("false",)


def test_pickles_are_not_run(folder):
    (folder / "refs(unc).p").write_bytes(pickle.dumps([Harmful()]))
    with pytest.raises(DataError, match=r"names \w+.system, and could run code"):
        build(folder)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda b: b"\x80\x02" + b + b"."))
@settings(max_examples=300, deadline=None)
def test_damaged_pickles_are_data_errors(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "damaged.p"
    file.write_bytes(data)
    try:
        read_plain_pickle(file)
    except DataError:
        return


def test_strings_of_python_2(folder):
    (folder / "refs(unc).p").write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\np1\na.")
    assert read_plain_pickle(folder / "refs(unc).p") == ["café"]


def test_conversions_there_and_back(folder, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    assert main([str(folder), str(out), "--to", "refcoco", "--workers", "1"]) == 0
    assert {path.name for path in out.iterdir()} == {"images", "instances.json", "refs(unc).p"}
    assert build(out, split="testA")[0].annotation.phrases == ["the cup"]
    refs = read_plain_pickle(out / "refs(unc).p")
    assert [[s["sent"] for s in r["sentences"]] for r in refs if r["split"] == "train"] == [
        ["left cup", "cup with a handle"],
        ["right cup"],
    ]
    given_, found = build(folder, split="train")[0], build(out, split="train")[0]
    for one, other in zip(given_.annotation.instances, found.annotation.instances, strict=True):
        assert (one.phrase, one.extra["category"]) == (other.phrase, other.extra["category"])
        np.testing.assert_array_equal(one.bbox, other.bbox)
    assert main([str(out), str(again), "--workers", "1"]) == 0
    assert (again / "testA.jsonl").is_file()


@given(annotations())
@settings(max_examples=15, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, annotation):
    folder = tmp_path_factory.mktemp("refcoco")
    Image.new("RGB", SIZE).save(folder / "a.png")
    row = {"image": "a.png", **to_record(annotation)}
    (folder / "a.jsonl").write_text(json.dumps(row))
    main([str(folder / "a.jsonl"), str(folder / "out"), "--to", "refcoco", "--workers", "1"])
    _, form, _ = find_format(folder / "a.jsonl", "refcoco")
    kept = [i for i in annotation.instances if form.writer(folder, [""]).stores(i)]
    if not kept and not annotation.absent:
        return
    found = build(folder / "out")[0].annotation
    order = [sorted(x, key=lambda i: (i.phrase, [*extent(i)])) for x in (kept, found.instances)]
    for one, other in zip(*order, strict=True):
        assert one.phrase == other.phrase
        np.testing.assert_allclose(extent(one), other.bbox, atol=1e-9)
        for field in ("polygon", "mask"):
            assert (getattr(one, field) is None) == (getattr(other, field) is None)
    present = {i.phrase for i in kept}
    assert {*found.absent} == {*annotation.absent} - present


def test_what_is_lost_is_counted(tmp_path, capsys):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    Image.new("RGB", SIZE).save(tmp_path / "b.png")
    lines = [
        {"image": "a.png", "boxes": [{"phrase": "cup", "bbox": [1, 1, 9, 9], "ignore": True}]},
        {"image": "b.png", "instances": [{"phrase": "cup", "point": [1, 1]}]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main([str(tmp_path / "a.jsonl"), str(tmp_path / "out"), "--to", "refcoco"]) == 0
    said = capsys.readouterr().err
    for line in (
        "2 images: without an expression",
        "1 ignored instances: left out",
        "1 points: left out",
        "2 instances left out: ignored, or without an extent",
    ):
        assert line in said
