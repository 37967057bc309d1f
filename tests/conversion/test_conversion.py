"""Conversions: what each format gives back, what is reported, and how they go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from annotation_strategies import plain
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import FEATURES, find_format
from rexkit.conversion.conversion import WORK
from rexkit.conversion.features import features_of
from rexkit.formats.annotation_records import to_record
from rexkit.registry import FORMATS
from rexkit.run_lengths import encode_mask
from rexkit.structures import Annotation, Instance

SIZE = (64, 48)
WRITTEN = [name for name, component in FORMATS.components().items() if "writer" in vars(component)]


def everything() -> Annotation:
    pixels = np.zeros(SIZE[::-1], dtype=bool)
    pixels[4:9, 5:12] = pixels[20:30, 30:50] = True
    person = {"nose": [5.5, 6], "left ear": None, "right ear": [7, 8]}
    hidden = {"hidden_keypoints": ["right ear"]}
    return Annotation(
        SIZE,
        [
            Instance("cup", bbox=[1, 2, 30.25, 40]),
            Instance("cup", bbox=[5, 6, 20, 30], ignore=True, score=0.5),
            Instance("person", bbox=[0, 0, 10, 20], keypoints=person, extra=hidden),
            Instance("sign", bbox=[3, 3, 20, 21], polygon=[[3, 3], [20, 4], [9, 21]], text="EXIT"),
            Instance("cell", point=[7, 8]),
            Instance("leaf", bbox=[5, 4, 50, 30], mask=encode_mask(pixels), extra={"wet": "yes"}),
        ],
        ["dog"],
        extra={"place": "kitchen"},
    )


@pytest.fixture
def source(tmp_path):
    """A data set with two splits, sub-folders, and everything that an annotation can hold."""
    folder = tmp_path / "source"
    boxes = Annotation(SIZE, [Instance("cup", bbox=[1, 2, 30, 40])])
    for split, names in (("train", ("a.png", "deep/b.jpg", "deep/c.jpg")), ("val", ("a.png",))):
        lines = []
        for name in names:
            path = folder / "images" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (len(lines), 0, 0)).save(path)
            annotation = everything() if name == "a.png" else boxes
            lines.append({"image": f"images/{split}/{name}", **to_record(annotation)})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return folder


def read(folder: Path, name: str | None = None) -> dict[tuple[str, str], Annotation]:
    _, found, _ = find_format(folder, name)
    annotations = {}
    for split, part in found.open(folder, None).items():
        for index in range(len(part.dataset)):
            annotation, image = part.dataset.described(index)
            known = isinstance(image, Path) and part.image_root is not None
            key = image.relative_to(part.image_root).as_posix() if known else str(index)
            if (split, key) in annotations:  # a row of its own for each instance
                annotations[split, key].instances += annotation.instances
            annotations.setdefault((split, key), annotation)
    return annotations


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_gives_back_what_it_holds(name, source, tmp_path, capsys):
    target = tmp_path / "target"
    assert main([str(source), str(target), "--to", name, "--workers", "1"]) == 0
    said = capsys.readouterr().err
    writer = FORMATS.get(name)().writer(target, ["train", "val"])
    known, _, _ = find_format(target)
    assert known == name
    found, given = read(target), read(source)
    assert len(found) == len(given) == 4
    if writer.copies_images:
        assert set(found) == set(given)
    # What is not the same must have been reported.
    changed = set()
    for old, new in zip(given.values(), found.values(), strict=True):
        if "ignored instances" not in writer.holds:
            old.instances = [i for i in old.instances if not i.ignore]
        before, after = features_of(old), features_of(new)
        changed |= {feature for feature in FEATURES if after[feature] < before[feature]}
        for one, other in zip(old.instances, kept(new, old), strict=False):
            if one.bbox is not None and other is not None:
                atol = 1e-6 if "boxes" in writer.holds else max(SIZE) / 999
                np.testing.assert_allclose(other.bbox, one.bbox, atol=atol)
    for feature in changed:
        assert f" {feature}: " in said
    for feature in FEATURES - writer.holds:
        assert f" {feature}: " in said
    assert not (target / WORK).exists()


def kept(new: Annotation, old: Annotation) -> list[Instance | None]:
    """Return the instances of what was read in the order of the old ones, None for missing."""
    left = list(new.instances)
    return [
        left.pop(0) if left and left[0].phrase == instance.phrase else None
        for instance in old.instances
    ]


@pytest.mark.parametrize("name", ["jsonl", "rexomni-tsv"])
def test_formats_of_records_give_back_everything(name, source, tmp_path):
    assert main([str(source), str(tmp_path / "target"), "--to", name]) == 0
    found, given = read(tmp_path / "target"), read(source)
    assert [plain(a) for a in found.values()] == [plain(a) for a in given.values()]


def test_what_is_ignored_is_not_trained_on_as_yolo(source, tmp_path, capsys):
    assert main([str(source), str(tmp_path / "target"), "--to", "yolo", "--workers", "1"]) == 0
    assert "2 ignored instances: left out" in capsys.readouterr().err
    boxes = read(tmp_path / "target")["train", "a.png"].boxes("cup")
    np.testing.assert_allclose(boxes, everything().boxes("cup")[:1])


def test_several_processes_write_the_same(source, tmp_path, monkeypatch):
    from rexkit.datasets import JsonlDataset

    def refuse(self):
        raise AssertionError("the data set is sent with each chunk")

    monkeypatch.setattr(JsonlDataset, "__getstate__", refuse)
    for workers in ("1", "3"):
        words = [str(source), str(tmp_path / workers), "--to", "coco", "--workers", workers]
        assert main(words) == 0
    one, three = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "1", tmp_path / "3")
    )
    assert one == three


def test_a_killed_conversion_goes_on(source, tmp_path, monkeypatch):
    words = [str(source), str(tmp_path / "target"), "--workers", "1", "--to", "voc"]
    calls = []

    def stop(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return copy(*args, **kwargs)

    copy = shutil.copyfile
    monkeypatch.setattr("rexkit.conversion.conversion._CHUNK", 1)
    monkeypatch.setattr(shutil, "copyfile", stop)
    assert main(words) == 130
    with (tmp_path / "target" / WORK / "rows.jsonl").open("a") as file:
        file.write('{"name": "half')
    assert main(words) == 0
    assert len(calls) == 5  # two before, the one that was stopped, and it and the last again
    assert main([*words[:1], str(tmp_path / "other"), *words[2:]]) == 0
    for file in (tmp_path / "other").rglob("*.xml"):
        again = tmp_path / "target" / file.relative_to(tmp_path / "other")
        assert again.read_bytes() == file.read_bytes()


def test_rows_that_cannot_be_used_cost_themselves(source, tmp_path, capsys):
    with (source / "train.jsonl").open("a") as file:
        file.write('{"image": "images/train/none.png", "boxes": []}\n{"image": 3}\n')
    assert main([str(source), str(tmp_path / "target")]) == 1
    said = capsys.readouterr().err
    assert "4 images (train 3, val 1), 2 rows could not be used" in said
    assert "train.jsonl:4" in said
    assert "train.jsonl:5" in said


def test_flags_that_a_format_does_not_accept_are_refused(source, tmp_path):
    from rexkit.errors import ConfigError

    assert main([str(source), str(tmp_path / "first"), "--to", "voc", "--box_format", "xyxy"]) == 0
    with pytest.raises(ConfigError, match="--exhaustive: voc does not accept it; it accepts --coo"):
        main([str(tmp_path / "first"), str(tmp_path / "out"), "--exhaustive"])
    # What a format says that it accepts is accepted.
    values = {"box_format": "xyxy", "orientation": "upright", "exhaustive": True}
    for name in WRITTEN:
        target = tmp_path / name
        assert main([str(source), str(target), "--to", name, "--link", "--workers", "1"]) == 0
        _, found, _ = find_format(target)
        found.open(target, None, **{k: v for k, v in values.items() if k in found.options})


def test_rows_of_one_image_become_one(source, tmp_path):
    line = {"image": "images/train/deep/b.jpg", "boxes": [{"phrase": "dog", "bbox": [1, 1, 9, 9]}]}
    with (source / "train.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert main([str(source), str(tmp_path / "target"), "--to", "labelme"]) == 0
    assert read(tmp_path / "target")["train", "deep/b.jpg"].phrases == ["cup", "dog"]


def test_files_are_never_overwritten(source, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine.txt").write_text("")
    from rexkit.errors import UserError

    with pytest.raises(UserError, match="holds other files"):
        main([str(source), str(tmp_path / "target")])
    (source / "images" / "train" / "a.jpg").write_bytes(
        (source / "images" / "train" / "a.png").read_bytes()
    )
    with (source / "train.jsonl").open("a") as file:
        file.write('{"image": "images/train/a.jpg", "boxes": []}\n')
    with pytest.raises(UserError, match=r"a.png and a.jpg differ in their suffix alone"):
        main([str(source), str(tmp_path / "voc"), "--to", "voc"])
    assert main([str(source), str(tmp_path / "coco"), "--to", "coco"]) == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl", b'{"image": "a.png", "image": "b.png", "boxes": []}', "'image' twice"),
        ("a.jsonl", '{"image": "é.png", "boxes": []}'.encode("latin-1"), "can't decode byte 0xe9"),
        ("a.xml", b"<!DOCTYPE a [<!ENTITY x 'y'>]><annotation/>", "not usable XML"),
        ("a.xml", b"<annotation>", "not usable XML"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path, name, content, why):
    from rexkit.errors import ConfigError

    (tmp_path / name).write_bytes(content)
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(ConfigError, match=rf"none of the formats .*{name}.*{why}"):
            main([str(source), str(tmp_path / "out")])


def test_what_is_unknown_is_named(tmp_path, capsys):
    from rexkit.errors import ConfigError

    (tmp_path / "a.csv").write_text("x,y")
    with pytest.raises(ConfigError, match=r"none of the formats .*there is 1 \.csv"):
        main([str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(ConfigError, match="no such file"):
        main([str(tmp_path / "none"), str(tmp_path / "out")])
    with pytest.raises(ConfigError, match="Did you mean 'coco'"):
        main([str(tmp_path), str(tmp_path / "out"), "--from", "coc"])


@pytest.mark.parametrize(
    "name",
    ["coco", "yolo", "voc", "labelme", "labelstudio", "cvat", "odvg", "vott", "refcoco", "parquet"],
)
def test_real_data_comes_back(name, shared_data, tmp_path):
    file, images = shared_data / "bccd" / "val.json", shared_data / "bccd" / "val"
    there, back = tmp_path / "there", tmp_path / "back"
    assert main([str(file), str(there), "--to", name, "--link", "--images", str(images)]) == 0
    assert main([str(there), str(back), "--link", "--workers", "1"]) == 0
    [lines] = back.glob("*.jsonl")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    _, coco, _ = find_format(file)
    [split] = coco.open(file, images).values()
    assert len(rows) == len(split.dataset) == 20
    given = {Path(s.image_path).name: s.annotation for s in split.dataset}
    for row in rows:
        boxes = [entry["bbox"] for entry in row["boxes"]]
        expected = given[Path(row["image"]).name].boxes().tolist()
        lists = (sorted(x, key=lambda box: np.round(box, 3).tolist()) for x in (boxes, expected))
        np.testing.assert_allclose(*lists, atol=1e-6)


def test_a_folder_of_many_files_is_not_read_for_every_format(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number:03}.json").write_text('{"categories": [\n], "things": []}')
    opened = []
    read = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *args, **kw: opened.append(self.name) or read(self, *args, **kw)
    )
    from rexkit.errors import ConfigError

    with pytest.raises(ConfigError, match=r"there is 50 \.json"):
        find_format(tmp_path)
    assert len({*opened}) == 5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"categories": [\n{"id": 1, "name": "cup"}]}', None),
        ('{"annotations": [\n], "categories": []}', None),
        ('{"images": [\n], "categories": []}', "coco"),
        ('{"images": [], "annotations": [], "categories": []}', "coco"),
    ],
)
def test_small_files_of_coco_have_images(text, name, tmp_path):
    (tmp_path / "a.json").write_text(text)
    found = next(
        (n for n, c in FORMATS.components().items() if c().recognise(tmp_path / "a.json")), None
    )
    assert found == name
