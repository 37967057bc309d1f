"""The same objects in COCO JSON and JSON Lines of every spelling are read as the same objects."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import CocoDataset, JsonlDataset, TSVDataset
from rexkit.datasets.orientation import turned
from rexkit.errors import DataError
from rexkit.formats import is_coco
from rexkit.structures import Annotation, Instance

ROUNDS = int(os.environ.get("REXKIT_FUZZ", "25"))
STORED = (640, 480)
UNITS = {"pixels": STORED, "0-1": (1, 1), "0-100": (100, 100), "0-1000": (1000, 1000)}
BACK = {6: 8, 8: 6}


def objects(rng: np.random.Generator) -> tuple[np.ndarray, list[int], list[bool]]:
    """Boxes in pixels of the stored image, x0 y0 x1 y1; their categories; which are ignored."""
    count = int(rng.integers(1, 5))
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)) * STORED, axis=1).reshape(count, 4)
    return corners, rng.integers(1, 4, count).tolist(), (rng.random(count) < 0.3).tolist()


def as_format(box: np.ndarray, form: str) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return {
        "xyxy": [x0, y0, x1, y1],
        "xywh": [x0, y0, x1 - x0, y1 - y0],
        "cxcywh": [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0],
    }[form]


def shuffled(rng: np.random.Generator, fields: dict[str, Any]) -> dict[str, Any]:
    keys = [*fields]
    rng.shuffle(keys)
    return {key: fields[key] for key in keys}


def typed(rng: np.random.Generator, number: int) -> Any:
    """An id as one of the ways in which files spell it."""
    return [number, str(number), f"{number:06d}", float(number)][rng.integers(4)]


def coco(
    rng: np.random.Generator, boxes: list[list[float]], kinds: list[int], crowd: list[bool]
) -> Any:
    spell = [int, str][rng.integers(2)]
    annotations = [
        shuffled(
            rng,
            {
                "id": n,
                "image_id": typed(rng, 7),
                "category_id": typed(rng, kind),
                "bbox": box,
                ["iscrowd", "ignore"][rng.integers(2)]: int(ignored),
            },
        )
        for n, (box, kind, ignored) in enumerate(zip(boxes, kinds, crowd, strict=True))
    ]
    root = [{"id": spell(0), "name": "things", "supercategory": "none"}] * int(rng.integers(2))
    names = [{"id": spell(n), "name": f"c{n}", "supercategory": "things"} for n in (1, 2, 3)]
    image = {"id": spell(7), "file_name": "a.png"}
    return shuffled(
        rng, {"info": {}, "images": [image], "annotations": annotations, "categories": root + names}
    )


@pytest.mark.parametrize("seed", range(4))
def test_every_spelling_means_the_same(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "rows.json"
    for _ in range(ROUNDS):
        orientation = int(rng.integers(1, 9))
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", STORED).save(tmp_path / "a.png", exif=exif, compress_level=1)
        boxes, kinds, crowd = objects(rng)
        named = [f"c{kind}" for kind in kinds]
        truth = Annotation(STORED, [Instance(n, bbox=b) for n, b in zip(named, boxes, strict=True)])
        upright = turned(truth, orientation)
        stored = bool(rng.integers(2))
        given = (truth if stored else upright).boxes()
        size = STORED if stored else upright.image_size
        unit = [*UNITS][rng.integers(4)]
        most = np.tile(size if unit == "pixels" else UNITS[unit], 2)
        form = ["xyxy", "xywh", "cxcywh"][rng.integers(3)]
        written = [as_format(box * most / np.tile(size, 2), form) for box in given]
        options = {
            "box_format": form,
            "coordinates": unit,
            "orientation": "stored" if stored else "upright",
        }
        encoding = ["utf-8", "utf-8-sig"][rng.integers(2)]
        if rng.integers(2):
            indent = [None, 1][rng.integers(2)]
            path.write_text(json.dumps(coco(rng, written, kinds, crowd), indent=indent), encoding)
            assert is_coco(path)
            kind: Any = CocoDataset
            options["exhaustive"] = True
        else:
            entries = [
                shuffled(rng, {"bbox": box, "phrase": name, "ignore": ignored})
                for box, name, ignored in zip(written, named, crowd, strict=True)
            ]
            path.write_text(json.dumps({"image": "a.png", "boxes": entries}) + "\n", encoding)
            assert not is_coco(path)
            kind = JsonlDataset
        (sample,) = kind(path, **options)
        found = sample.annotation
        assert sample.image.size == found.image_size == upright.image_size
        assert [(i.phrase, i.ignore) for i in found.instances] == list(
            zip(named, crowd, strict=True)
        )
        assert np.abs(found.boxes() - upright.boxes()).max() < 1e-6
        assert "things" not in found.phrases
        assert set(found.absent) == (
            {"c1", "c2", "c3"} - {*named} if kind is CocoDataset else set()
        )
        if unit == "0-1":
            with pytest.raises(DataError, match="coordinates='0-1'"):
                kind(path, **{**options, "coordinates": None})[0]


def test_a_damaged_index_is_never_fewer_rows_without_a_word(tmp_path: Path) -> None:
    from rexkit.formats import TSVWriter, encode_image

    files = [tmp_path / name for name in ("d.images.tsv", "d.annotations.tsv", "d.lineidx")]
    with TSVWriter(*files) as writer:
        for row in range(8):
            box = {"bbox": [row, 0, row + 5, 9], "phrase": "cup"}
            writer.write(encode_image(Image.new("RGB", (32, 16))), {"boxes": [box]})
        writer.commit()
    whole = files[2].read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(4 * ROUNDS):
        data = bytearray(whole)
        kind, at = rng.integers(4), int(rng.integers(len(whole)))
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data[at] = rng.integers(256)
        elif kind == 2:
            data += data[at:]
        else:
            del data[at : at + int(rng.integers(1, 9))]
        files[2].write_bytes(data)
        try:
            dataset = TSVDataset(*files)
            rows = [int(sample.annotation.boxes()[0, 0]) for sample in dataset]
        except DataError:
            continue
        assert sorted(rows) == list(range(8))
