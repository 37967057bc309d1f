"""A small evaluation set in the public layout, with a response to each of its questions.

Everything is drawn by ``random.Random``, so that the same seed gives the same set everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from rexkit.grammar import write, write_keypoints
from rexkit.keypoints import SCHEMAS
from rexkit.structures import Instance

Row = dict[str, Any]
Box = list[float]

PHRASES = ("traffic_light", "Dog", "stop sign", "T-shirt", "zebra", "cup", "hot dog", "aerosol can")
"""Categories, spelled as ground truth spells them."""


@dataclass
class EvaluationSet:
    """Rows of one kind, with responses.

    Attributes:
        task_name: as its rows name it.
        rows: of the JSONL file.
        responses: the response by the number of the row and, for visual prompts, the category.
    """

    task_name: str
    rows: list[Row] = field(default_factory=list)
    responses: dict[tuple[int, str], str] = field(default_factory=dict)

    def write(self, folder: Path, eval_type: str, name: str) -> Path:
        """Write the file and the images, and return the file.

        The pixel in the corner of an image holds the number of its row, by which `row_of` finds it.
        """
        file = folder / "annotations" / eval_type / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in self.rows), "utf-8")
        for number, row in enumerate(self.rows):
            image = Image.new("RGB", tuple(row["size"]), "gray")
            image.putpixel((0, 0), (number // 256, number % 256, 7))
            path = folder / row["image_path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        return file


def row_of(image: Image.Image) -> int:
    """Return the number of the row of an image that `EvaluationSet.write` wrote."""
    high, low, _ = image.convert("RGB").getpixel((0, 0))
    return int(high * 256 + low)


def evaluation_set(task_name: str, number: int, seed: int) -> EvaluationSet:
    """Draw rows of one kind, and responses with errors of every sort.

    Args:
        task_name: "dense_object_detection", "pointing", "keypoint" or any other name of the public
            evaluation.
        number: of rows.
        seed: of everything.
    """
    made = EvaluationSet(task_name)
    rng = Random(f"{task_name} {seed}")
    make = _MAKERS.get(task_name, _detection)
    for index in range(number):
        size = (200 + 2 * _below(rng, 150), 150 + 2 * _below(rng, 150))
        row: Row = {
            "image_path": f"images/{task_name}/{index}.png",
            "size": list(size),
            "task_name": task_name,
            "dataset_name": "drawn",
        }
        for category, text in make(rng, row, size).items():
            made.responses[index, category] = text
        made.rows.append(row)
    return made


def coco_set(file: Path, seed: int) -> EvaluationSet:
    """Make a set of the images of a COCO file, asked for every category, with drawn responses.

    Args:
        file: COCO JSON with boxes.
        seed: of the responses.
    """
    made = EvaluationSet("dense_object_detection")
    content = json.loads(file.read_text("utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    for index, image in enumerate(content["images"]):
        truth: dict[str, list[Box]] = {}
        for entry in content["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, width, height = entry["bbox"]
                truth.setdefault(names[entry["category_id"]], []).append(
                    [x, y, x + width, y + height]
                )
        size, asked = (image["width"], image["height"]), sorted(names.values())
        row = {"image_path": f"images/{file.stem}/{index}.png", "size": list(size)}
        row |= {"task_name": made.task_name, "dataset_name": file.stem}
        made.rows.append(row | {"categories": asked, "gt": truth})
        rng = Random(f"{file.stem} {index} {seed}")
        made.responses[index, ""] = _response(rng, asked, truth, size)
    return made


def _detection(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    asked = _choose(rng, PHRASES, 1 + _below(rng, 4))
    present = [p for p in asked if rng.random() < 0.8]
    # Rows of absent categories alone: with an empty list, or without one.
    truth = {p: _boxes(rng, size, 1 + _below(rng, 6)) for p in present}
    if rng.random() < 0.5:
        truth |= {p: [] for p in asked if p not in present}
    row |= {"categories": [p.replace("_", " ") for p in asked], "gt": truth}
    return {"": _response(rng, row["categories"], truth, size)}


def _referring(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    phrase = f"the {PHRASES[_below(rng, len(PHRASES))]} on the left"
    truth = {phrase: _boxes(rng, size, 1 + _below(rng, 3))} if rng.random() < 0.8 else {}
    row |= {"categories": [phrase], "gt": truth}
    return {"": _response(rng, [phrase], truth, size)}


def _pointing(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    referring = row["task_name"] == "pointing_referring"
    asked = _choose(rng, PHRASES, 1 if referring else 1 + _below(rng, 3))
    boxes = {p: _boxes(rng, size, 1 + _below(rng, 5)) for p in asked if rng.random() < 0.9}
    if referring and not boxes:
        boxes = {asked[0]: _boxes(rng, size, 2)}
    masks = {p: [_ellipse(box, size) for box in items] for p, items in boxes.items()}
    row |= {"categories": asked, "gt": {"gt_mask": masks}}
    return {"": _response(rng, asked, boxes, size, points=True)}


def _visual_prompt(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    asked = _choose(rng, ("café", *PHRASES), 1 + _below(rng, 3))
    truth = {p: _boxes(rng, size, 2 + _below(rng, 6)) for p in asked}
    prompt = {p: items[: 1 + _below(rng, 2)] for p, items in truth.items()}
    row |= {"categories": asked, "gt": truth, "visual_prompt": prompt}
    return {p: _response(rng, [p], {p: truth[p]}, size) for p in asked}


def _keypoint(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    names = SCHEMAS["person"].keypoints
    found, truth = [], []
    for number in range(_below(rng, 4)):
        box = _boxes(rng, size, 1)[0]
        spots = {n: _inside(rng, box) for n in names if rng.random() < 0.7}
        truth.append({"bbox": box, "keypoints": spots, "phrase": f"person{number + 1}"})
        if rng.random() < 0.8:
            side = (box[2] - box[0]) * rng.random() * 0.03
            moved = {
                name: None if rng.random() < 0.1 else _near(rng, spots.get(name, box[:2]), side)
                for name in names
            }
            found.append(Instance("person", bbox=_near(rng, box, side), keypoints=moved))
    row |= {"categories": ["person"], "gt": {"person": truth}}
    return {"": write_keypoints(found, size)}


def _hallucination(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    asked = _choose(rng, PHRASES, 1 + _below(rng, 2))
    row |= {"categories": asked, "gt": {}}
    said = {p: _boxes(rng, size, 1) for p in asked if rng.random() < 0.3}
    return {"": _response(rng, asked, said, size)}


def _gui(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    row |= {"categories": ["the Search button"], "gt": _boxes(rng, size, 1)[0]}
    truth = {"the Search button": [row["gt"]]}
    text = _response(rng, ["the Search button"], truth, size, points=rng.random() < 0.5)
    return {"": text}


def _polygon(rng: Random, row: Row, size: tuple[int, int]) -> dict[str, str]:
    words = _choose(rng, ("EXIT", "stop here", "Café", "No_5", "a", "B"), 1 + _below(rng, 4))
    boxes = {word: _boxes(rng, size, 1 + _below(rng, 2)) for word in words}
    row |= {"categories": ["word"], "gt": {w: [_quad(b) for b in bs] for w, bs in boxes.items()}}
    return {"": _response(rng, words, boxes, size, polygons=True)}


_Maker = Callable[[Random, Row, tuple[int, int]], dict[str, str]]
_MAKERS: dict[str, _Maker] = {
    "referring_object_detection": _referring,
    "pointing": _pointing,
    "pointing_referring": _pointing,
    "visual_prompt_detection": _visual_prompt,
    "keypoint": _keypoint,
    "hallucination": _hallucination,
    "gui": _gui,
    "task4_detect_all_in_polygon": _polygon,
    "task2_detect_all_in_polygon_and_recog": _polygon,
}


def _response(
    rng: Random,
    asked: list[str],
    truth: dict[str, list[Box]],
    size: tuple[int, int],
    points: bool = False,
    polygons: bool = False,
) -> str:
    """Write a response with misses, noise, duplicates, and phrases in other spellings."""
    by_letters = {_letters(p): items for p, items in truth.items()}
    phrases, instances = [], []
    for phrase in asked:
        said = _respelled(rng, phrase)
        phrases.append(said)
        for box in by_letters.get(_letters(phrase), _boxes(rng, size, int(rng.random() < 0.2))):
            for _ in range((0, 1, 1, 1, 1, 1, 1, 1, 1, 2)[_below(rng, 10)]):
                side = (box[2] - box[0]) * (0.002, 0.03, 0.1, 0.3)[_below(rng, 4)]
                near = _near(rng, box, side)
                x0, x1 = sorted(near[::2])
                y0, y1 = sorted(near[1::2])
                if points:
                    instances.append(Instance(said, point=_inside(rng, [x0, y0, x1, y1])))
                elif polygons:
                    quad = np.reshape(_quad([x0, y0, x1 + 2, y1 + 2]), (-1, 2))
                    instances.append(Instance(said, polygon=quad))
                else:
                    instances.append(Instance(said, bbox=[x0, y0, x1 + 1, y1 + 1]))
    geometry = "point" if points else "polygon" if polygons else "bbox"
    return write(instances, size, phrases=list(dict.fromkeys(phrases)), geometry=geometry)


def _respelled(rng: Random, phrase: str) -> str:
    draw = rng.random()
    if draw < 0.1:
        return phrase.upper()
    if draw < 0.2:
        return phrase.replace(" ", "_")
    if draw < 0.3:
        return phrase.replace("-", " ")
    return f"another {phrase}" if draw < 0.35 else phrase


def _letters(phrase: str) -> str:
    return "".join(c for c in phrase.lower() if c.isalnum())


def _below(rng: Random, number: int) -> int:
    return int(rng.random() * number)


def _choose(rng: Random, values: tuple[str, ...], number: int) -> list[str]:
    left = list(values)
    return [left.pop(_below(rng, len(left))) for _ in range(number)]


def _boxes(rng: Random, size: tuple[int, int], number: int) -> list[Box]:
    boxes = []
    for _ in range(number):
        width, height = (side * (0.08 + 0.4 * rng.random()) for side in size)
        x, y = rng.random() * (size[0] - width), rng.random() * (size[1] - height)
        boxes.append([x, y, x + width, y + height])
    return boxes


def _near(rng: Random, values: list[float], side: float) -> list[float]:
    return [max(0.0, value + side * (2 * rng.random() - 1)) for value in values]


def _inside(rng: Random, box: Box) -> list[float]:
    return [box[k] + (box[k + 2] - box[k]) * rng.random() for k in (0, 1)]


def _quad(box: Box) -> list[float]:
    x0, y0, x1, y1 = box
    cut = (x1 - x0) * 0.1
    return [x0 + cut, y0, x1, y0, x1 - cut, y1, x0, y1]


def _ellipse(box: Box, size: tuple[int, int]) -> dict[str, Any]:
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    a, b = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    inside = ((x - box[0] - a) / a) ** 2 + ((y - box[1] - b) / b) ** 2 <= 1
    packed = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": [size[1], size[0]], "counts": packed["counts"].decode()}
