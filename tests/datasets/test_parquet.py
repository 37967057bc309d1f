"""Parquet files: those of the `datasets` library, and those that are written."""

from __future__ import annotations

import io
import json
import pickle
import sys

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.errors import DataError, UserError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.parquet import ParquetFile, read_objects, to_row, write_rows
from rexkit.registry import DATASETS
from rexkit.structures import Annotation

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SIZE = (64, 48)
BOX = [5.0, 6.0, 10.0, 20.0]
CORNERS = [5, 6, 15, 26]


def png(shade=0):
    file = io.BytesIO()
    Image.new("RGB", SIZE, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path, rows, metadata=None, group=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=group)
    return path


def build(path, **options):
    return DATASETS.build(dict(type="ParquetDataset", files=str(path), **options))


def label_metadata(kind):
    """What `datasets` writes of labels in an object of lists, and in a list of objects."""
    label = {"names": ["cup", "dog"], "_type": "ClassLabel"}
    if kind == "lists":
        objects = {"category": {"feature": label, "_type": "List"}}
    elif kind == "objects":
        objects = {"feature": {"category": label}, "_type": "List"}
    else:
        objects = [{"category": label}]
    return {"huggingface": json.dumps({"info": {"features": {"objects": objects}}})}


@pytest.mark.parametrize(
    ("objects", "metadata"),
    [
        ({"bbox": [BOX], "category": [1], "area": [9]}, label_metadata("lists")),
        ([{"bbox": BOX, "category": 1, "area": 9}], label_metadata("objects")),
        ([{"bbox": BOX, "category": 1, "area": 9}], label_metadata("old")),
        ({"bbox": [BOX], "categories": ["dog"], "area": [9]}, None),
        ([{"bbox": BOX, "label": "dog", "area": 9}], {"huggingface": "broken"}),
    ],
)
def test_the_published_forms(objects, metadata, tmp_path):
    row = {"image": {"bytes": png(), "path": None}, "image_id": 7, "objects": objects}
    write(tmp_path / "train.parquet", [row], metadata)
    dataset = build(tmp_path / "train.parquet")
    [instance] = dataset[0].annotation.instances
    assert (instance.phrase, instance.bbox.tolist()) == ("dog", CORNERS)
    assert instance.extra == {"area": 9}
    assert dataset[0].annotation.extra == {"image_id": 7}
    assert dataset.row_phrases(0) == ["dog"]


def test_lists_of_annotation_records(tmp_path):
    boxes = [
        {"bbox": [5, 6, 15, 26], "phrase": "cup", "text": None},
        {"bbox": None, "phrase": "dog"},
    ]
    write(tmp_path / "a.parquet", [{"image": png(), "boxes": boxes}])
    annotation = build(tmp_path / "a.parquet")[0].annotation
    assert (annotation.boxes("cup").tolist(), annotation.absent) == ([CORNERS], ["dog"])


def test_images_as_paths(tmp_path):
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(png())
    objects = {"bbox": [BOX], "category": ["cup"]}
    rows = [{"image": "a.png", "objects": objects}, {"image": "deep/b.png", "objects": objects}]
    file = write(tmp_path / "paths.parquet", rows)
    assert build(file, image_dir=str(tmp_path / "images"))[1].image_path.endswith("deep/b.png")
    rows = [{"image": {"bytes": None, "path": "a.png"}, "objects": objects}]
    file = write(tmp_path / "structs.parquet", rows)
    assert build(file, image_dir=str(tmp_path / "images"))[0].annotation.phrases == ["cup"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"objects": {"bbox": [BOX], "category": [0]}}, "has the label 0, and the file no names"),
        ({"objects": {"bbox": [BOX, BOX], "category": ["a"]}}, "must have one length, they have"),
        ({"objects": {"bbox": [BOX]}}, "has none of .'category'"),
        ({"objects": [3]}, "must be a list of objects, or an object of lists"),
        ({"objects": {"bbox": [[1.0, 2.0]], "category": ["a"]}}, "bbox"),
        ({"objects": {"bbox": [BOX], "category": ["a"]}, "extra": "{"}, "extra must be JSON"),
        ({"objects": [{"bbox": BOX, "category": "a", "more": "[]"}]}, "more must be an object"),
        ({"things": 3}, r"a row has 'objects', or a list .*its columns are"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used(row, message, tmp_path):
    file = write(tmp_path / "a.parquet", [{"image": png(), **row}])
    with pytest.raises(DataError, match=message) as caught:
        build(file)[0]
    assert caught.value.source == f"{file}[0]"
    if "label 0" in message:
        assert build(file, labels=["cup"])[0].annotation.phrases == ["cup"]
        with pytest.raises(DataError, match="has the label 0, and there are 0 names"):
            build(file, labels=[])[0]


def test_files_that_are_none(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then something else")
    with pytest.raises(DataError, match=r"a.parquet: this is no Parquet file"):
        build(tmp_path / "a.parquet")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        build(tmp_path / "none.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file \*.parquet"):
        build(tmp_path / "empty")
    write(tmp_path / "b.parquet", [{"picture": png()}])
    with pytest.raises(DataError, match=r"no column 'image'; the columns are \['picture'\]"):
        build(tmp_path / "b.parquet")
    file = write(tmp_path / "c.parquet", [{"image": 3, "objects": {"bbox": [], "category": []}}])
    with pytest.raises(DataError, match="image must be bytes or a path, got 3"):
        build(file)[0]
    assert len(build(file, on_error="skip")) == 0
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"pip install 'rexkit\[parquet\]'"):
        build(tmp_path / "b.parquet")


def test_row_groups_and_several_files(tmp_path):
    def rows(first, number):
        return [
            {"image": png(n), "objects": {"bbox": [BOX], "category": [f"c{n}"]}}
            for n in range(first, first + number)
        ]

    write(tmp_path / "train-00000-of-00002.parquet", rows(0, 7), group=3)
    write(tmp_path / "train-00001-of-00002.parquet", rows(7, 2))
    dataset = pickle.loads(pickle.dumps(build(tmp_path)))
    phrases = [dataset[n].annotation.phrases for n in (8, 0, 3, 6, 7, 2)]
    assert phrases == [["c8"], ["c0"], ["c3"], ["c6"], ["c7"], ["c2"]]
    assert np.asarray(dataset[5].image)[0, 0, 0] == 5
    assert dataset.row_source(8).endswith("train-00001-of-00002.parquet[1]")
    [(split, part)] = find_format(tmp_path)[1].open(tmp_path, None).items()
    assert (split, len(part.dataset)) == ("", 9)


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["data/train-00000-of-00001.parquet", "data/test-00000-of-00001-abc.parquet"],
         ["test", "train"]),
        (["train/0000.parquet", "train/0001.parquet", "test/0000.parquet"], ["test", "train"]),
        (["train.parquet", "validation.parquet"], ["train", "validation"]),
    ],
)  # fmt: skip
def test_files_of_splits(files, splits, tmp_path):
    for name in files:
        write(tmp_path / name, [{"image": png(), "objects": {"bbox": [BOX], "category": ["a"]}}])
    assert sorted(find_format(tmp_path)[1].open(tmp_path, None)) == splits


@given(annotations())
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(annotation):
    annotation.extra = {"place": "kitchen"}
    file = io.BytesIO()
    write_rows(file, iter([[to_row(annotation, b"", "a.png")]]))
    [row] = pq.read_table(io.BytesIO(file.getvalue())).to_pylist()
    found = read_record(read_objects(row, {}), SIZE, "xywh")
    for one in annotation.instances:
        if one.bbox is not None:  # as far as width and height can be added again
            one.bbox = np.round(one.bbox, 9)
    for one in found.instances:
        if one.bbox is not None:
            one.bbox = np.round(one.bbox, 9)
    kept = sorted(annotation.instances, key=lambda i: i.ignore)
    expected = Annotation(SIZE, kept, annotation.absent, extra=annotation.extra)
    assert plain(found) == plain(expected)


@pytest.fixture
def jsonl(tmp_path):
    for name in ("a.png", "deep/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    rows = [
        {"image": "a.png", "boxes": [{"phrase": "cup", "bbox": CORNERS},
                                     {"phrase": "dog", "bbox": CORNERS, "ignore": True}]},
        {"image": "deep/a.png", "boxes": [{"phrase": "dog", "bbox": None}]},
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "rows.jsonl"


def test_the_library_of_the_hub_reads_it(jsonl, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    assert main([str(jsonl), str(tmp_path / "out"), "--to", "parquet", "--workers", "1"]) == 0
    [file] = (tmp_path / "out").rglob("*.parquet")
    found = datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
    assert found[0]["image"].size == SIZE
    assert found[0]["objects"] == [{"bbox": BOX, "category": "cup", "more": None}]
    assert (found[0]["ignored"][0]["category"], found[1]["absent"]) == ("dog", ["dog"])


def test_names_of_images_survive_and_no_copies_are_left(jsonl, tmp_path):
    for source, target, name in (("rows.jsonl", "b", "parquet"), ("b", "c", "parquet"),
                                 ("c", "d", "jsonl"), ("c", "e", "rexomni-tsv")):  # fmt: skip
        words = [str(tmp_path / source), str(tmp_path / target), "--to", name, "--workers", "1"]
        assert main(words) == 0
    rows = [json.loads(line) for line in (tmp_path / "d" / "annotations.jsonl").open()]
    assert [row["image"] for row in rows] == ["images/a.png", "images/deep/a.png"]
    for folder in ("b", "c", "e"):
        assert not [*(tmp_path / folder).rglob("*.png")]


def test_images_of_one_name_stay_apart(tmp_path):
    objects = {"bbox": [BOX], "category": ["cup"]}
    rows = [{"image": {"bytes": png(n), "path": "a.png"}, "objects": objects} for n in range(2)]
    write(tmp_path / "train.parquet", rows)
    assert main([str(tmp_path / "train.parquet"), str(tmp_path / "out"), "--workers", "1"]) == 0
    assert len([*(tmp_path / "out").rglob("*.png")]) == 2
    assert ParquetFile(tmp_path / "train.parquet").image_paths() == ["a.png", "a.png"]
