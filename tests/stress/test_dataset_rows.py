"""Whatever a row of a dataset holds, it is read or is a data error with its place; never worse."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import (
    CocoDataset,
    CvatDataset,
    IcdarDataset,
    InstanceMaskDataset,
    JsonlDataset,
    LabelStudioDataset,
    LvisDataset,
    OdvgDataset,
    RandomCrop,
    RandomFlip,
    RexOmniEvalDataset,
    TSVDataset,
    VottDataset,
)
from rexkit.errors import ConfigError, DataError, without_controls
from rexkit.examples import ExampleDataset, Source
from rexkit.formats.brush_runs import encode_brush
from rexkit.formats.images import encode_image
from rexkit.models import TinyVLM
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    OCRPolygonTask,
    PointingTask,
    VisualPromptTask,
)

ROUNDS = int(os.environ.get("REXKIT_FUZZ", "60"))
ROWS = 12
UNEXPECTED = re.compile(r"unexpected \w+ \(|\w: \w*(Error|Exception|Interrupt)\(")
"""What the rule of rows says of an exception that no reader foresaw."""

MASK = {"size": [32, 32], "counts": [100, 50, 874]}
JSONL = {
    "image": "a.png",
    "width": 32,
    "height": 32,
    "boxes": [
        {"phrase": "cup", "bbox": [1, 1, 9, 9], "segmentation": [[1, 1, 9, 1, 9, 9]], "id": 3},
        {"phrase": "cup", "bbox_xyxy": [1, 2, 9, 9], "segmentation": MASK, "score": 0.5},
        {"phrase": "text", "bbox": [1, 2, 9, 9], "text": "EXIT", "polygon": [1, 1, 9, 1, 9, 9]},
        {"phrase": "dog", "bbox": None},
    ],
    "points": [{"phrase": "pin", "point": [3, 4], "ignore": False}],
    "instances": [
        {"phrase": "person", "bbox": [1, 1, 9, 9], "keypoints": {"nose": [2, 2], "left eye": None}},
        {"phrase": "disc", "mask": MASK},
    ],
    "extra": {"categories": ["cup", "dog"], "visual_prompt": {"cup": [[1, 1, 9, 9]]}},
}
EVAL = {
    "image_path": "a.png",
    "gt": {"cup": [[1, 1, 9, 9]], "pin": [[3, 4]], "leaf": [[1, 1, 9, 1, 9, 9]], "dog": "None"},
    "gt_mask": None,
    "categories": ["cup", "pin", "leaf", "dog"],
    "visual_prompt": {"cup": [[1, 1, 9, 9]], "pin": [[1, 1, 2, 2]]},
    "task_name": "detection",
}
EVAL_MASKS = EVAL | {"gt_mask": {"cup": [MASK]}, "categories": ["cup"]}
EVAL_PEOPLE = {
    "image_name": "a.png",
    "gt": {"person": [{"bbox": [1, 1, 9, 9], "keypoints": {"nose": [2, 2]}, "phrase": "person1"}]},
    "categories": ["person"],
}
WRAPPED = {
    "image_path": "a.png",
    "gt": {"cup": [{"type": "box", "coords": [1, 1, 9, 9], "text": "x"}]},
}
NUMBERED = {
    "image": "a.png",
    "instance_mask": "mask.png",
    "label": "cell",
    "instances": [{"instance": 1, "point": [3, 4]}, {"instance": 2, "bbox": [1, 1, 9, 9]}],
}
COCO = {
    "images": [
        {"id": n, "file_name": "a.png", "width": 32, "height": 32, "neg_category_ids": [2]}
        | {"not_exhaustive_category_ids": [1]}
        for n in range(3)
    ],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9]}
        | {"segmentation": [[1, 1, 9, 1, 9, 9], [20, 20, 30, 20, 30, 30]]},
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "segmentation": MASK}
        | {"keypoints": [2, 2, 2, 0, 0, 0], "num_keypoints": 1},
        {"id": 4, "image_id": 2, "category_id": 2, "segmentation": [[1, 1, 9, 1, 9, 9]]},
    ],
    "categories": [
        {"id": 1, "name": "cup", "keypoints": ["nose", "left_eye"], "frequency": "r"},
        {"id": 2, "name": "dog", "supercategory": "animal"},
    ],
}
ICDAR = (
    "1,1,9,1,9,9,1,9,EXIT\n1,1,9,1,9,9,1,9,###\n",
    "1,1,9,1,9,9,1,9,Latin,EXIT\n",
    "1,1,9,1,9,9,1,9,5,5,####curved\n",
    '1, 1, 9, 9, "Tiredness"\n',
    "x: [[1 9 9]], y: [[1 1 9]], ornt: [u'c'], transcriptions: [u'EXIT']\n",
)
SIZED = {"original_width": 32, "original_height": 32, "image_rotation": 0, "to_name": "image"}
TRIANGLE, ELLIPSE = (
    {"points": [[1, 1], [9, 1], [9, 9]], "closed": True},
    {"x": 9, "y": 9, "radiusX": 4, "radiusY": 2, "rotation": 30},
)
BRUSH = encode_brush(np.eye(32) > 0)
BIT_MASK = (
    "data:image/png;base64,"
    + base64.b64encode(encode_image(Image.fromarray(np.full((32, 32, 4), 255, np.uint8)))).decode()
)
LABEL_STUDIO = {
    "data": {"image": "a.png", "place": "kitchen"},
    "annotations": [
        {"created_at": "2024", "was_cancelled": True, "result": []},
        {
            "created_at": "2024-01-01",
            "result": [
                {"id": key, "type": kind, "from_name": kind, "value": value, **SIZED, **more}
                for key, kind, value, more in (
                    ("a", "rectangle", {"x": 1, "y": 2, "width": 30, "height": 9}, {"score": 0.5}),
                    ("a", "labels", {"labels": ["cup", "dog"]}, {"meta": {"text": ["x"]}}),
                    ("a", "textarea", {"text": ["EXIT"]}, {}),
                    ("a", "choices", {"choices": ["ignore"]}, {"from_name": "ignore"}),
                    ("b", "polygonlabels", {**TRIANGLE, "labels": ["x"]}, {"parentID": "a"}),
                    ("c", "keypointlabels", {"x": 3, "y": 4, "keypointlabels": ["nose"]}, {}),
                    ("d", "ellipselabels", {**ELLIPSE, "labels": ["x"]}, {}),
                    ("e", "brushlabels", {"rle": BRUSH, "brushlabels": ["leaf"]}, {}),
                    ("f", "choices", {"choices": ["dog"]}, {"from_name": "absent"}),
                    ("g", "bitmask", {"imageDataURL": BIT_MASK, "labels": ["leaf"]}, {}),
                )
            ],
        },
    ],
    "predictions": [{"result": []}],
}
CVAT = """<annotations><version>1.1</version><meta/>
<image id="0" name="a.png" subset="Train" width="32" height="32">
<box label="cup" source="auto" occluded="1" xtl="1" ytl="1" xbr="9" ybr="9" rotation="30"
group_id="1">
<attribute name="text">EXIT</attribute><attribute name="score">0.5</attribute></box>
<polygon label="cup" points="1,1;9,1;9,9" z_order="1" group_id="1"/>
<points label="pin" points="3,4;5,6"/>
<mask label="leaf" rle="1, 2, 1" left="4" top="5" width="2" height="2"/>
<ellipse label="disc" cx="9" cy="9" rx="4" ry="2" rotation="45"/>
<polyline label="x" points="1,1;2,2"/>
<skeleton label="person"><points label="nose" outside="0" points="2,2"/>
<points label="left eye" outside="1" points="0,0"/></skeleton>
<tag label="night"/><tag label="absent"><attribute name="phrase">dog</attribute></tag></image>
<image id="1" name="b.jpg" width="32" height="32"/></annotations>"""
ODVG = {
    "filename": "a.png",
    "width": 32,
    "height": 32,
    "detection": {
        "instances": [{"bbox": [1, 1, 9, 9], "label": 0, "category": "cup"}],
        "ignored": [{"bbox": [1, 1, 9, 9], "label": 1}],
    },
    "grounding": {
        "caption": "a cup",
        "regions": [{"bbox": [[1, 1, 9, 9]], "phrase": ["a", "cup"], "tokens_positive": [[0, 5]]}],
    },
    "absent": ["cow"],
    "extra": {"place": "kitchen"},
}
VOTT = {
    "asset": {"name": "a.png", "path": "file:a.png", "state": 2, "type": 1}
    | {"size": {"width": 32, "height": 32}},
    "regions": [
        {"type": kind, "tags": ["cup"], "points": [{"x": 1, "y": 1}] * number}
        | {"boundingBox": {"left": 1, "top": 1, "width": 8, "height": 8}}
        for kind, number in (("RECTANGLE", 4), ("POLYGON", 3), ("POINT", 1), ("POLYLINE", 2))
    ],
    "absent": ["cow"],
}
NAMES = ("a.png", "b.jpg", "turned.jpg", "thin.png", "mask.png", "broken.png", "missing.png")
IMAGE_KEYS = ("image", "image_path", "image_name", "file_name", "filename", "instance_mask")
PATHS = ("folder.png", "pipe.png", "\0.png", "\ud800.png", "/dev/zero", "/dev/null", "", ".", "..")
PATHS += ("bomb.png", "x" * 5000, "a.png/b.png", "rows.jsonl", "c\udce9.png", "\u202e.png")
DEEP: Any = "end"
for _ in range(200):
    DEEP = [DEEP]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 0.5, 1e308, -1e-320, 2**31, 2**63, -(2**63), 2**64, 10**400),
    *(float("nan"), float("inf"), "", "x", "7", "\0", "\ud800", "<12>", "<|box_end|>", "9" * 5000),
    *("\x1b[31m", "\u202e", "e\u0301", "None", "unvisible", " ", "a" * 300_000, "cup"),
    *([], {}, [[]], [None], [{}], {"a": 1}, {"": ""}, [1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]),
    *([[1, 2], [3, 4], [5, 6]], [[1, 2, 3, 4]], [1, "2"], ["cup"], {"cup": 5}, {"cup": [[1]]}),
    *({"size": [0, 0], "counts": "11"}, {"size": [2**63 - 1] * 2, "counts": "1"}),
    *({"size": [32, 32], "counts": [10**30]}, {"size": [32, 32], "counts": "\ud800"}, MASK, DEEP),
    *({"type": "box", "coords": 3}, {"type": [], "coords": []}, {"bbox": {}}, [0.0] * 10_000),
]
TEXTS = ("", "x", "7", "-1", "0.5", "nan", "inf", "1e400", "9" * 5000, "true", "<12>", "[", "{}")
TEXTS += ("1,2", "1,2;3", "1,2;3,4;5,6;", "1, 2, 3", "-1, 5", "null", "a" * 300_000, "None", "cup")
KEYS = (
    *("bbox", "bbox_xyxy", "point", "polygon", "mask", "segmentation", "keypoints", "text", "id"),
    *(
        "phrase",
        "score",
        "ignore",
        "rotation",
        "attributes",
        "iscrowd",
        "extra",
        "caption",
        "label",
    ),
)


def files(folder: Path) -> None:
    """Write images of every kind, and what is none."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    Image.fromarray(noise).save(folder / "b.jpg")
    Image.fromarray(noise).save(folder / os.fsdecode(b"c\xe9.png"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(folder / "turned.jpg", exif=exif)
    Image.new("RGB", (2, 1000)).save(folder / "thin.png")
    Image.fromarray(noise[..., 0] % 3).save(folder / "mask.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:300])
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")


class Mutations:
    """Changes JSON values and bytes by chance."""

    def __init__(self, seed: int):
        self.generator = np.random.default_rng(seed)

    def pick(self, values: Any) -> Any:
        return values[int(self.generator.integers(len(values)))]

    def value(self) -> Any:
        return copy.deepcopy(self.pick(VALUES))

    def of(self, value: Any) -> Any:
        """Return a copy with one or two nodes replaced, removed, repeated or renamed."""
        changed = copy.deepcopy(value)
        for _ in range(int(self.generator.integers(1, 3))):
            holder, key = self.pick([*_nodes(changed)] or [({"": 0}, "")])
            kind = self.generator.random()
            name = key in IMAGE_KEYS
            if name:
                holder[key] = self.pick(NAMES + PATHS)
            elif kind < 0.7:
                holder[key] = self.value()
            elif kind < 0.8 and isinstance(holder, dict):
                del holder[key]
            elif kind < 0.9 and isinstance(holder, dict):
                holder[self.pick(KEYS)] = self.value()
            elif isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
        return changed

    def bytes(self, data: bytes) -> bytes:
        """Return bytes with a part replaced, cut out or repeated."""
        start, end = sorted(self.generator.integers(len(data) + 1, size=2).tolist())
        end = min(end, start + 40)
        new = self.pick(
            [
                b"",
                b"\0",
                b"\xff\xfe",
                b"9" * 5000,
                b"\n",
                b"\t",
                data[start:end] * 3,
                b"-1",
                b"\xe9",
            ]
        )
        return data[:start] + new + data[end:]


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)) and len(value[key]) < 100:
            yield from _nodes(value[key])


def line(row: Any) -> str:
    return json.dumps(row) + "\n"


def jsonl(folder: Path, mutations: Mutations, *templates: Any) -> Path:
    rows = [line(mutations.of(mutations.pick(templates))) for _ in range(ROWS)]
    data = "".join(rows).encode()
    if mutations.generator.random() < 0.1:
        data = mutations.bytes(data)
    (folder / "rows.jsonl").write_bytes(data)
    return folder / "rows.jsonl"


def coco(folder: Path, mutations: Mutations) -> Path:
    (folder / "coco.json").write_text(json.dumps(mutations.of(COCO)))
    return folder / "coco.json"


def tsv(folder: Path, mutations: Mutations) -> list[Path]:
    paths = [folder / name for name in ("t.images.tsv", "t.annotations.tsv", "t.lineidx")]
    image = b"k\t" + base64.b64encode((folder / "a.png").read_bytes()) + b"\n"
    template = {"boxes": JSONL["boxes"]}
    rows = [b"0\t" + line(mutations.of(template)).encode() for _ in range(ROWS)]
    starts = np.cumsum([0, *map(len, rows[:-1])])
    contents = [image, b"".join(rows), "".join(f"{s}\n" for s in starts).encode()]
    damaged = int(mutations.generator.integers(6))
    if damaged < 3:
        contents[damaged] = mutations.bytes(contents[damaged])
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def icdar(folder: Path, mutations: Mutations) -> Path:
    (folder / "texts").mkdir(exist_ok=True)
    for name in ("a", "b", "turned"):
        text = mutations.pick(ICDAR).encode()
        text = mutations.bytes(text) if mutations.generator.random() < 0.6 else text
        (folder / "texts" / f"gt_{name}.txt").write_bytes(text)
    return folder / "texts"


def label_studio(folder: Path, mutations: Mutations) -> Path:
    tasks = [mutations.of(LABEL_STUDIO) for _ in range(ROWS)]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return folder / "tasks.json"


def cvat(folder: Path, mutations: Mutations) -> Path:
    """Write images whose fields and texts are changed; or bytes of the file."""
    root = ElementTree.fromstring(CVAT)
    images = root.findall("image")
    for _ in range(ROWS):
        image = copy.deepcopy(images[0])
        element = mutations.pick(list(image.iter()))
        kind = mutations.generator.random()
        text = mutations.pick(TEXTS)
        if kind < 0.7 and element.attrib:
            element.set(mutations.pick(sorted(element.attrib)), text)
        elif kind < 0.8 and element.attrib:
            del element.attrib[mutations.pick(sorted(element.attrib))]
        elif kind < 0.9:
            element.text = text
        else:
            element.tag = mutations.pick(["box", "mask", "points", "skeleton", "tag", "x"])
        root.append(image)
    data = ElementTree.tostring(root, "utf-8")
    damaged = mutations.generator.random() < 0.2
    (folder / "cvat.xml").write_bytes(mutations.bytes(data) if damaged else data)
    return folder / "cvat.xml"


def odvg(folder: Path, mutations: Mutations) -> Path:
    (folder / "label_map.json").write_text(json.dumps(["cup", "dog"]))
    return jsonl(folder, mutations, ODVG)


def vott(folder: Path, mutations: Mutations) -> Path:
    assets = {str(number): mutations.of(VOTT) for number in range(ROWS)}
    (folder / "p-export.json").write_text(json.dumps({"tags": [], "assets": assets}))
    return folder / "p-export.json"


DATASETS: dict[str, Callable[[Path, Mutations, str], Any]] = {
    "JsonlDataset": lambda f, m, e: JsonlDataset(jsonl(f, m, JSONL), on_error=e),  # type: ignore[arg-type]
    "RexOmniEvalDataset": lambda f, m, e: RexOmniEvalDataset(
        jsonl(f, m, EVAL, EVAL_MASKS, EVAL_PEOPLE, WRAPPED),
        on_error=e,  # type: ignore[arg-type]
    ),
    "InstanceMaskDataset": lambda f, m, e: InstanceMaskDataset(
        jsonl(f, m, NUMBERED),
        on_error=e,  # type: ignore[arg-type]
    ),
    "CocoDataset": lambda f, m, e: CocoDataset(
        coco(f, m),
        exhaustive=m.pick([True, False]),
        keypoints=m.pick([None, "file"]),
        on_error=e,  # type: ignore[arg-type]
    ),
    "LvisDataset": lambda f, m, e: LvisDataset(coco(f, m), on_error=e),  # type: ignore[arg-type]
    "TSVDataset": lambda f, m, e: TSVDataset(*tsv(f, m), on_error=e),  # type: ignore[arg-type]
    "IcdarDataset": lambda f, m, e: IcdarDataset(icdar(f, m), f, on_error=e),  # type: ignore[arg-type]
    "LabelStudioDataset": lambda f, m, e: LabelStudioDataset(
        label_studio(f, m),
        phrase=m.pick([None, "thing"]),
        predictions=m.pick([True, False]),
        on_error=e,  # type: ignore[arg-type]
    ),
    "CvatDataset": lambda f, m, e: CvatDataset(cvat(f, m), f, on_error=e),  # type: ignore[arg-type]
    "OdvgDataset": lambda f, m, e: OdvgDataset(
        odvg(f, m),
        exhaustive=m.pick([True, False]),
        on_error=e,  # type: ignore[arg-type]
    ),
    "VottDataset": lambda f, m, e: VottDataset(vott(f, m), on_error=e),  # type: ignore[arg-type]
}
TASKS = [
    *(GroundingTask(), PointingTask(), KeypointTask(), OCRBoxTask(), OCRPolygonTask()),
    VisualPromptTask(),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rows")
    files(made)
    return made


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM(None, hidden_size=64, layers=1, heads=1, max_length=2000)


def check(error: DataError | ConfigError, row: bool = True) -> None:
    """Check that an error names a place, and is one that a reader raises on purpose."""
    text = str(error)
    assert not UNEXPECTED.search(text), text[:2000]
    without_controls(text).encode()
    assert len(text) < 5000
    if row and isinstance(error, DataError):
        assert error.source


@pytest.mark.parametrize("name", DATASETS)
def test_any_row_is_read_or_is_a_data_error(name: str, folder: Path, vlm: TinyVLM) -> None:
    mutations = Mutations(14)
    usable = 0
    for _ in range(max(2, ROUNDS // 4)):
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
        if strict or not len(dataset):
            continue
        transforms = [RandomFlip(0.5, 0.5), RandomCrop()] if usable % 2 else []
        sources = [Source(dataset, task, transforms) for task in TASKS]
        examples = ExampleDataset(sources, training=usable % 3 > 0)
        try:
            examples.skip_unusable(vlm.encoder.check)
        except ConfigError as error:
            check(error)
        for source in examples.sources:
            for error in source.skipped:
                check(error)
    assert usable > ROUNDS / 4
