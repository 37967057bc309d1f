"""ICDAR text files: what they hold, and what is wrong with them."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import IcdarDataset, JsonlDataset
from rexkit.errors import DataError
from rexkit.registry import DATASETS

LINES = (
    "377,117,463,117,465,130,378,130,Genaxis Theatre\r\n"
    '12,20,50,20,50,30,12,30,"$1,000", net\r\n'
    "\r\n"
    "374,155,409,155,409,170,374,170,###\r\n"
)


@pytest.fixture
def folder(tmp_path):
    for name in ("img_10.jpg", "img_2.PNG"):
        Image.new("RGB", (640, 480)).save(tmp_path / name)
    (tmp_path / "gt_img_2.txt").write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    (tmp_path / "gt_img_10.txt").write_text("")
    (tmp_path / "readme.txt").write_text("about")
    return tmp_path


def test_a_file(folder):
    dataset = DATASETS.build(dict(type="IcdarDataset", ann_dir=str(folder)))
    assert len(dataset) == 2
    sample = dataset[0]
    assert sample.source == str(folder / "gt_img_2.txt")
    first, second, third = sample.annotation.instances
    assert (first.phrase, first.text, first.ignore) == ("word", "Genaxis Theatre", False)
    assert first.polygon.tolist() == [[377, 117], [463, 117], [465, 130], [378, 130]]
    assert second.text == '"$1,000", net'
    assert (third.text, third.ignore, third.extra) == ("###", True, {"id": 4})
    assert dataset[1].annotation.instances == []


def test_names_of_its_own(folder, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "img_2.txt").write_text("1,1,9,1,9,9,1,9,a b\n1,20,9,20,9,29,1,29,*")
    (folder / "img_10.jpg").unlink()
    dataset = IcdarDataset(texts, folder, phrase="text line", prefix="", illegible="*")
    one, two = dataset[0].annotation.instances
    assert (one.phrase, one.text, one.ignore, two.ignore) == ("text line", "a b", False, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,5,6,7,text", r"gt_img_2\.txt: line 2 must be x1,y1"),
        ("1,2,3,4,5,6,7,x,text", r"gt_img_2\.txt: line 2 must be x1,y1"),
        ("1,1,9,1,9,9,1,9", r"gt_img_2\.txt: line 2 must be x1,y1"),
        ("1,1,999,1,9,9,1,9,text", r"gt_img_2\.txt: instances\[1\] \(id 2\).*outside the image"),
    ],
)
def test_a_bad_line(folder, line, message):
    (folder / "gt_img_2.txt").write_text(f"1,1,9,1,9,9,1,9,fine\n{line}\n")
    with pytest.raises(DataError, match=message):
        IcdarDataset(folder)[0]
    dataset = IcdarDataset(folder, on_error="skip")
    assert len(dataset) == 1
    assert len(dataset.skipped) == 1


NUMBERS = ["1,000,000", "12,345.00 net", "5", "020-7946", "1,5 kg", "3,"]
QUAD = "10,10,110,10,110,40,10,40"
CURVE = [x + y for x in range(10, 80, 10) for y in (0, 5)]
TOTAL_TEXT = (
    "x: [[20 60 60\n 20]], y: [[ 5  5 30\n   30]], ornt: [u'c'], transcriptions: [u'It\\'s, 5']\n"
    "x: [[1 9 9]], y: [[1 1 9]], ornt: [u'#'], transcriptions: [u'#']\n"
    'x: [[1 9 9]], y: [[1 1 9]], ornt: ["h"], transcriptions: ["A", "B"]\n'
    "x: [[1 9 9]], y: [[1 1 9]], ornt: [], transcriptions: []\n"
)


def texts(folder, written, **options):
    (folder / "gt_img_2.txt").write_text(written, "utf-8")
    instances = IcdarDataset(folder, **options)[0].annotation.instances
    return [None if i.ignore else i.text for i in instances], instances


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Quotes around the whole text, as CVAT's exporter writes them.
        ([f'{QUAD},"FOOD"', f"{QUAD},BAR", f'{QUAD},"###"'], ["FOOD", "BAR", None]),
        ([f'{QUAD},"a ""b"" c"', f'{QUAD},"A","B"'], ['a "b" c', '"A","B"']),
        ([f'{QUAD},"half', f'{QUAD},"'], ['"half', '"']),
        # MLT has a script on every line; a word of that name is a word.
        ([f"{QUAD},Latin,Castle, 5", f"{QUAD},Arabic,متحف"], ["Castle, 5", "متحف"]),
        ([f"{QUAD},None,###", f"{QUAD},Mixed,a"], [None, "a"]),
        ([f"{QUAD},Latin,Castle", f"{QUAD},Castle"], ["Latin,Castle", "Castle"]),
        ([f"{QUAD},Latin"], ["Latin"]),
        # ICDAR 2013, of the training and of the test set.
        (['38, 43, 92, 215, "Tire, d"', '158 128 411 181 "Footpath"'], ["Tire, d", "Footpath"]),
        # RCTW-17: a mark for texts that are difficult to read.
        ([f'{QUAD},0,"店"', f'{QUAD},1,"家"'], ["店", None]),
        ([f"{QUAD},1,2"], ["1,2"]),
        # Texts of ICDAR 2015 and SROIE that begin with numbers.
        ([f"{QUAD},{text}" for text in NUMBERS], NUMBERS),
    ],
)  # fmt: skip
def test_relatives_with_four_corners(folder, lines, expected):
    found, instances = texts(folder, "\ufeff" + "\r\n".join(lines) + "\r\n")
    assert found == expected
    if lines[0].startswith("38"):
        assert instances[0].polygon.tolist() == [[38, 43], [92, 43], [92, 215], [38, 215]]
    else:
        assert instances[0].polygon.tolist() == [[10, 10], [110, 10], [110, 40], [10, 40]]


def test_scripts_are_kept(folder):
    _, (one, two) = texts(folder, f"{QUAD},Latin,a\n{QUAD},Korean,b\n")
    assert (one.extra["script"], two.extra["script"]) == ("Latin", "Korean")


def test_polygons_of_ctw1500(folder):
    numbers = ",".join(map(str, CURVE))
    lines = [f"{numbers},{numbers},####HELLO, you", f"{numbers},#######", f"{QUAD},####"]
    found, instances = texts(folder, "\n".join(lines))
    assert found == ["HELLO, you", None, None]
    assert instances[0].polygon.ravel().tolist() == CURVE * 2
    assert instances[1].polygon.shape == (7, 2)


def test_total_text(folder):
    (folder / "gt_img_2.txt").rename(folder / "poly_gt_img_2.txt")
    (folder / "poly_gt_img_2.txt").write_text(TOTAL_TEXT, "utf-8")
    first, *rest = IcdarDataset(folder, prefix="poly_gt_")[0].annotation.instances
    assert (first.text, first.ignore, first.extra["id"]) == ("It's, 5", False, 1)
    assert first.polygon.tolist() == [[20, 5], [60, 5], [60, 30], [20, 30]]
    assert [(i.text, i.ignore) for i in rest] == [("###", True), ("A,B", False), ("###", True)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",".join(map(str, CURVE)) + ",TEXT", "more than 8 numbers before its text"),
        (f"{QUAD},90,20,TEXT", "more than 8 numbers before its text"),
        (",".join(map(str, CURVE * 2 + CURVE[:4])), "more than 8 numbers before its text"),
        ("1,2,3,4,5,6,7,8,9,####TEXT", "has 9 numbers, an odd one"),
        ("x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'a']", "as many x as y"),
        ("x: [[1 2 3]], y: [[1 2 3]], ornt: [u'c'], transcriptions: [open('a')]", "must be x: "),
        ("x: [[1 2 3]], y: [[1 2 b]], ornt: [u'c'], transcriptions: [u'a']", "as many x as y"),
    ],
)
def test_relatives_that_are_refused(folder, line, message):
    with pytest.raises(DataError, match=message):
        texts(folder, line)


@pytest.mark.parametrize(
    "line",
    [
        "x: [[" + "1]], y: [[" * 100_000,
        "x: [[1]], y: [[1]], ornt: [" * 50_000,
        "1," * 300_000 + "###",
        QUAD + "," + "1, " * 300_000 + "x",
        '"' * 300_000,
        f'{QUAD},"' + '""' * 200_000,
        " " * 300_000 + "x",
    ],
    ids=range(7),
)
def test_long_lines_take_linear_time(folder, line):
    start = time.process_time()
    with pytest.raises(DataError) if '""' not in line or line[0] == '"' else nullcontext():
        texts(folder, line)
    assert time.process_time() - start < 2


def test_what_has_no_counterpart(folder):
    (folder / "gt_img_3.txt").write_text("")
    Image.new("RGB", (9, 9)).save(folder / "img_4.png")
    dataset = IcdarDataset(folder)
    assert len(dataset) == 4
    with pytest.raises(DataError, match=r"there is no image img_3\.\*"):
        dataset[1]
    with pytest.raises(DataError, match=r"gt_img_4\.txt: cannot be read"):
        dataset[2]
    assert len(IcdarDataset(folder, on_error="skip").skipped) == 2


def test_not_utf8(folder):
    (folder / "gt_img_2.txt").write_bytes(b"1,1,9,1,9,9,1,9,caf\xe9")
    with pytest.raises(DataError, match=r"gt_img_2\.txt: cannot be read.*utf-8"):
        IcdarDataset(folder)[0]


def test_a_folder_without_any(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no t_\*\.txt; set prefix=''"):
        IcdarDataset(folder, prefix="t_")
    with pytest.raises(FileNotFoundError):
        IcdarDataset(tmp_path / "nowhere")


def test_real_texts_written_as_icdar(shared_data, tmp_path):
    """The same images as JSONL and as text files hold the same."""
    for name in ("icdar2015", "sroie"):
        lines = (shared_data / "ocr" / f"{name}.jsonl").read_text("utf-8").splitlines()
        rows = {row["image"]: row for row in map(json.loads, lines)}
        texts = tmp_path / name
        texts.mkdir()
        for row in rows.values():
            rows_of_text = [[*i["polygon"], i["text"]] for i in row["instances"]]
            stem = row["image"].partition("/")[2].partition(".")[0]
            written = "\r\n".join(",".join(map(str, text)) for text in rows_of_text)
            (texts / f"gt_{stem}.txt").write_text(written, "utf-8-sig")
        dataset = IcdarDataset(texts, shared_data / "ocr" / name)
        jsonl = JsonlDataset(shared_data / "ocr" / f"{name}.jsonl")
        annotations = {s.source: s.annotation for s in jsonl}
        by_place = sorted(jsonl, key=lambda s: s.image.tobytes())
        again = sorted(dataset, key=lambda s: s.image.tobytes())
        assert len(by_place) == len(again) == len(annotations)
        for one, other in zip(by_place, again, strict=True):
            for a, b in zip(one.annotation.instances, other.annotation.instances, strict=True):
                assert (a.text, a.ignore) == (b.text, b.ignore)
                assert np.array_equal(a.polygon, b.polygon)
