"""YOLO: a text file of normalised numbers beside each image, and names in a YAML file.

The forms are those of https://docs.ultralytics.com/datasets: a line of a label file is a class
number and, in shares of the image's size, a box by its centre and size, a polygon (rotated boxes
are polygons of four corners), or a box and keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.instances import HIDDEN_KEYPOINTS, extent, keypoint_visibility
from rexkit.structures import Annotation, Array, ImageSize, Instance

SPLITS = ("train", "val", "test")
_OTHER_NAMES = {"val": ("valid", "validation")}


@dataclass(frozen=True)
class YoloConfig:
    """What the YAML file of a YOLO data set says.

    Attributes:
        path: of the file.
        names: of the classes, by their number.
        splits: the folders of images, or text files that list them, of each split.
        keypoints: their names in order; empty for data sets without keypoints.
        dimensions: 3 where keypoints have a visibility, 2 where not.
    """

    path: Path
    names: dict[int, str]
    splits: dict[str, list[Path]]
    keypoints: list[str] = field(default_factory=list)
    dimensions: int = 3


def is_yolo_config(path: Path) -> bool:
    """Return whether a file is the YAML file of a YOLO data set."""
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and "names" in found and any(key in found for key in SPLITS)


def read_yolo_config(path: Path) -> YoloConfig:
    """Read the YAML file of a YOLO data set.

    ``path`` in it is often a folder of the computer that wrote it: where that does not exist, and
    where it is not set, splits are relative to the file's folder. ``../train/images``, as Roboflow
    writes it, is then ``train/images``.

    Raises:
        FileNotFoundError: the file is missing.
        DataError: it is not YAML, or has no usable names or splits.
    """
    try:
        found = yaml.safe_load(path.read_text("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"this is not YAML ({str(error).splitlines()[0]})", str(path)) from error
    if not isinstance(found, dict) or "names" not in found:
        raise DataError("a YOLO data set has 'names', a list or an object", str(path))
    names = read_names(found["names"], str(path))
    splits = {}
    for split in SPLITS:
        keys = (split, *_OTHER_NAMES.get(split, ()))
        value = next((found[key] for key in keys if found.get(key)), None)
        if value is not None:
            places = value if isinstance(value, list) else [value]
            splits[split] = [_find(path, found.get("path"), str(place)) for place in places]
    shape = found.get("kpt_shape")
    if shape is None:
        return YoloConfig(path, names, splits)
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not isinstance(shape[0], int)
        or not 0 < shape[0] < 1_000
        or shape[1] not in (2, 3)
    ):
        what = "must be the number of keypoints and 2 or 3 numbers of each"
        raise DataError(f"kpt_shape {what}, got {short(shape)}", str(path))
    listed = found.get("kpt_names")
    if isinstance(listed, Mapping):
        listed = next(iter(listed.values()), None)
    keypoints = [f"keypoint {n}" for n in range(1, shape[0] + 1)] if listed is None else listed
    if not isinstance(keypoints, list) or len(keypoints) != shape[0]:
        raise DataError(f"kpt_names must be {shape[0]} names, got {short(listed)}", str(path))
    return YoloConfig(path, names, splits, [str(name) for name in keypoints], shape[1])


def read_names(value: Any, source: str) -> dict[int, str]:
    """Return the names of classes by their number.

    Args:
        value: a list of names, or an object of them by number.
        source: the file, for messages.

    Raises:
        DataError: it is neither.

    >>> read_names({0: "cup", "1": "dog"}, "data.yaml")
    {0: 'cup', 1: 'dog'}
    """
    try:
        pairs = dict(enumerate(value)) if isinstance(value, list) else dict(value)
        return {int(number): str(name) for number, name in pairs.items()}
    except (TypeError, ValueError) as error:
        what = "must be a list of names, or names by their numbers"
        raise DataError(f"names {what}; got {short(value)}", source) from error


def read_yolo(
    text: str, names: Mapping[int, str], keypoints: Sequence[str] = (), dimensions: int = 3
) -> list[dict[str, Any]]:
    """Convert the lines of a label file to entries of an annotation record.

    Args:
        text: of the file.
        names: of the classes, by their number.
        keypoints: the names of the keypoints that boxes have; empty for data without.
        dimensions: 2 or 3 numbers a keypoint.

    Returns:
        An entry for each line, with ``bbox`` as cx cy w h, in shares of the image's size. A sixth
        number is the confidence of a prediction.

    Raises:
        DataError: a line is no class and coordinates; the message has its number.

    >>> read_yolo("0 0.5 0.5 0.2 0.4", {0: "cup"})
    [{'phrase': 'cup', 'bbox': [0.5, 0.5, 0.2, 0.4]}]
    """
    entries = []
    for line, words in enumerate(map(str.split, text.splitlines()), 1):
        if not words:
            continue
        try:
            number, *xy = map(float, words)
        except ValueError:
            what = "must be a class number and coordinates"
            raise DataError(f"line {line}: {short(' '.join(words))} {what}") from None
        if not number.is_integer() or int(number) not in names:
            raise DataError(f"line {line}: {words[0]} is no class; names has {short(dict(names))}")
        entry = {"phrase": names[int(number)], **_geometry(xy, keypoints, dimensions, line)}
        entries.append(entry)
    return entries


def to_yolo(
    annotation: Annotation, numbers: Mapping[str, int], keypoints: Sequence[str] | None = None
) -> str:
    r"""Return the text of a label file.

    Args:
        annotation: in pixels. An instance is a polygon where it has one, else its box, or the box
            around its mask; those without extent are left out.
        numbers: the class of each phrase.
        keypoints: write boxes with these keypoints instead; 0 0 0 for missing ones.

    >>> cup = Instance("cup", bbox=[0, 0, 32, 24])
    >>> to_yolo(Annotation((64, 48), [cup]), {"cup": 0})
    '0 0.25 0.25 0.5 0.5\n'
    """
    lines = []
    for instance in annotation.instances:
        numbers_of_line = _line(instance, annotation.image_size, keypoints)
        if numbers_of_line is not None:
            values = " ".join(f"{value:.10g}" for value in numbers_of_line)
            lines.append(f"{numbers[instance.phrase]} {values}\n")
    return "".join(lines)


def label_file(image: Path) -> Path:
    """Return the label file of an image: ``…/images/a.jpg`` has ``…/labels/a.txt``.

    An image in no folder of the name ``images`` has its label file beside it.

    >>> label_file(Path("data/images/train/a.jpg")).as_posix()
    'data/labels/train/a.txt'
    """
    parts = list(image.parts)
    found = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if found:
        parts[found[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _geometry(
    xy: list[float], keypoints: Sequence[str], dimensions: int, line: int
) -> dict[str, Any]:
    if not np.isfinite(xy).all():
        raise DataError(f"line {line} holds a number that is not finite")
    if keypoints:
        if len(xy) - 4 not in (len(keypoints) * dimensions, len(keypoints) * dimensions + 1):
            raise DataError(
                f"line {line} has {len(xy)} numbers after its class; a box and {len(keypoints)} "
                f"keypoints of {dimensions} numbers have {4 + len(keypoints) * dimensions}"
            )
        end = 4 + len(keypoints) * dimensions
        table: Array = np.reshape(xy[4:end], (-1, dimensions))
        # Without visibility, 0 0 stands for a keypoint that is not labelled.
        known = np.asarray(table[:, 2] > 0 if dimensions == 3 else table.any(axis=1))
        places = {
            name: row[:2] if seen else None
            for name, row, seen in zip(keypoints, table.tolist(), known.tolist(), strict=True)
        }
        found: dict[str, Any] = {"bbox": xy[:4], "keypoints": places}
        if dimensions == 3 and (table[:, 2] == 1).any():
            found[HIDDEN_KEYPOINTS] = [keypoints[n] for n in np.flatnonzero(table[:, 2] == 1)]
        return found | ({"score": xy[end]} if xy[end:] else {})
    if len(xy) in (4, 5):
        return {"bbox": xy[:4], **({"score": xy[4]} if xy[4:] else {})}
    if len(xy) >= 6:
        polygon, score = (xy, {}) if len(xy) % 2 == 0 else (xy[:-1], {"score": xy[-1]})
        return {"polygon": polygon, "bbox_around_outline": True, **score}
    raise DataError(
        f"line {line} has {len(xy)} numbers after its class; a box has 4, a polygon 6 or more"
    )


def _line(
    instance: Instance, image_size: ImageSize, keypoints: Sequence[str] | None
) -> list[float] | None:
    size = np.array(image_size, dtype=np.float64)
    if keypoints is None and instance.polygon is not None:
        outline: list[float] = (instance.polygon / size).ravel().tolist()
        return outline
    box: Array = extent(instance)
    if np.isnan(box).any() or (instance.bbox is None and (box[2:] <= box[:2]).any()):
        return None
    centre = (box[:2] + box[2:]) / 2
    numbers: list[float] = (np.concatenate([centre, box[2:] - box[:2]]) / np.tile(size, 2)).tolist()
    visibility = keypoint_visibility(instance)
    for name in keypoints or ():
        xy = (instance.keypoints or {}).get(name)
        numbers += [0.0, 0.0, 0.0] if xy is None else [*(xy / size).tolist(), visibility[name]]
    return numbers


def _find(config: Path, root: Any, place: str) -> Path:
    here = config.parent
    written = Path(str(root)) if root else here
    for folder in (written, here / written, here):
        if (found := folder / place).exists():
            return found
    inside = PurePosixPath(*(part for part in PurePosixPath(place).parts if part != ".."))
    return here / inside if (here / inside).exists() else here / place
