"""Data sets of texts as ICDAR and Total-Text: what comes back, and what is reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.datasets import IcdarDataset
from rexkit.formats.icdar import (
    has_scripts,
    read_icdar,
    sort_key,
    text_outline,
    to_icdar,
    to_total_text,
)
from rexkit.structures import Annotation, Instance

MARKS = ("", "#", "###")


def read(path):
    _, found, _ = find_format(path)
    return {
        (split, part.dataset.row_source(n)): part.dataset.described(n)[0].instances
        for split, part in found.open(path, None).items()
        for n in range(len(part.dataset))
    }


@pytest.mark.parametrize("write", [to_icdar, to_total_text])
@given(annotation=annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(write, annotation, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / f"{write.__name__}.txt"
    file.write_text(write(annotation), "utf-8")
    found = [*read_icdar(file)]
    kept = [(i, xy) for i in annotation.instances if (xy := text_outline(i)) is not None]
    assert len(found) == len(kept)
    for text, (instance, outline) in zip(found, kept, strict=True):
        assert text.polygon == outline.ravel().tolist()
        # What is lost is counted: test_what_is_lost_is_counted.
        unread = instance.ignore or instance.text in MARKS
        assert text.transcription == (None if unread else instance.text)


QUAD = [[1, 1], [9, 1], [9, 5], [1, 5]]
READ_OTHERWISE = [
    "Latin,EXIT",
    '"quoted"',
    '0,"a"',
    "1,2,3",
    "12,345,6",
    "####",
    "5",
    'a"b',
    "a, b",
]


@pytest.mark.parametrize("texts", [[text] for text in READ_OTHERWISE] + [READ_OTHERWISE])
def test_texts_that_look_like_other_forms(texts, tmp_path):
    instances = [Instance("word", polygon=QUAD, text=text) for text in texts]
    (tmp_path / "a.txt").write_text(to_icdar(Annotation((64, 48), instances)))
    assert [found.transcription for found in read_icdar(tmp_path / "a.txt")] == texts


def test_scripts_are_written_where_all_texts_have_one(tmp_path):
    latin = Instance("word", polygon=QUAD, text="Korean,x", extra={"script": "Latin"})
    annotation = Annotation((64, 48), [latin, latin])
    (tmp_path / "a.txt").write_text(to_icdar(annotation))
    assert has_scripts(annotation)
    assert [(f.extra, f.transcription) for f in read_icdar(tmp_path / "a.txt")] == [
        ({"script": "Latin"}, "Korean,x")
    ] * 2
    assert not has_scripts(Annotation((64, 48), [latin, Instance("word", polygon=QUAD, text="a")]))


@pytest.mark.parametrize(
    ("name", "file"),
    [("icdar", "icdar2015"), ("icdar", "sroie"), ("totaltext", "icdar2015"),
     ("totaltext", "totaltext"), ("totaltext", "wildreceipt")],
)  # fmt: skip
def test_real_texts_come_back(name, file, shared_data, tmp_path):
    lines = [json.loads(x) for x in (shared_data / "ocr" / f"{file}.jsonl").open()]
    lines.sort(key=lambda row: sort_key(row["image"]))
    for row in lines:
        row |= {"image": str(shared_data / "ocr" / row["image"]), "label": "word"}
    source = tmp_path / "source.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in lines))
    assert main([str(source), str(tmp_path / "there"), "--to", name, "--workers", "1"]) == 0
    given_rows, found = [*read(source).values()], [*read(tmp_path / "there").values()]
    assert len(given_rows) == len(found) > 0
    for one, other in zip(given_rows, found, strict=True):
        texts = [i for i in one if text_outline(i) is not None]  # some of WildReceipt are empty
        for a, b in zip(texts, other, strict=True):
            assert (b.phrase, b.ignore) == ("word", a.ignore)
            assert b.text == ("###" if a.ignore else a.text)
            np.testing.assert_array_equal(a.polygon, b.polygon)


def test_what_is_lost_is_counted(tmp_path, capsys):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    entries = [
        {"phrase": "word", "polygon": QUAD, "text": "EXIT"},
        {"phrase": "sign", "polygon": QUAD, "text": "###", "ignore": True},
        {"phrase": "word", "polygon": QUAD, "text": "STOP", "ignore": True, "script": "Latin"},
        {"phrase": "word", "polygon": QUAD, "text": "###"},
        {"phrase": "word", "polygon": QUAD},
        {"phrase": "cup", "bbox": [1, 2, 3, 4]},
    ]
    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps({"image": "a.png", "instances": entries}))
    assert main([str(source), str(tmp_path / "out"), "--to", "icdar", "--workers", "1"]) == 0
    said = capsys.readouterr().err
    for line in ("1 boxes: their corners", "1 phrases: 'word'", "2 texts: not read",
                 "1 attributes: left out", "2 instances left out: neither a text nor"):  # fmt: skip
        assert line in said


@pytest.mark.parametrize("layout", ["beside", "apart", "published"])
def test_where_texts_and_images_are(layout, tmp_path):
    """Beside each other, in two folders, and in folders of splits as Total-Text's."""
    prefix = "poly_gt_" if layout == "published" else "gt_"
    texts, images = {
        "beside": ("", ""),
        "apart": ("labels", "images"),
        "published": ("train", "images/train"),
    }[layout]
    for folder in (texts, images):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(tmp_path / images / "img_1.jpg")
    annotation = Annotation((64, 48), [Instance("word", polygon=QUAD, text="a")])
    write = to_total_text if layout == "published" else to_icdar
    (tmp_path / texts / f"{prefix}img_1.txt").write_text(write(annotation))
    name, _, _ = find_format(tmp_path)
    assert name == ("totaltext" if layout == "published" else "icdar")
    [((split, _), [instance])] = read(tmp_path).items()
    assert split == ("train" if layout == "published" else "")
    assert instance.text == "a"
    if layout == "published":
        assert instance.extra["ornt"] == "h"


def test_sub_folders_are_read(tmp_path):
    for name in ("a", "deep/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "gt_a.txt").write_text("")
    (tmp_path / "deep" / "gt_b.txt").write_text("1,1,5,1,5,5,1,5,x\n")
    assert [len(sample.annotation.instances) for sample in IcdarDataset(tmp_path)] == [0, 1]


def test_lists_and_objects_of_voc_come_back_and_others_are_counted(tmp_path, capsys):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    kept = {"tags": ["red", "old"], "actions": {"run": 1, "walk": 0}, "pose": "Left"}
    entries = [{"phrase": "cup", "bbox": [1, 2, 9, 9], **kept}]
    entries.append({"phrase": "cup", "bbox": [1, 2, 9, 9], "tags": ["one"], "none": None})
    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps({"image": "a.png", "boxes": entries}))
    assert main([str(source), str(tmp_path / "out"), "--to", "voc", "--workers", "1"]) == 0
    assert "1 attributes: instances of which one is no text" in capsys.readouterr().err
    [(first, _)] = read(tmp_path / "out").values()
    assert {name: first.extra[name] for name in kept} == kept
