"""COCO datasets: one JSON file of images, annotations and categories, images in a folder."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rexkit.datasets.row_dataset import OnError, RowDataset
from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.keypoints import KeypointSchema, find_schema
from rexkit.registry import DATASETS


@DATASETS.register_module()
class CocoDataset(RowDataset):
    """A COCO JSON file and a folder of images: a row for each image, in the file's order.

    Phrases are category names, ``iscrowd`` is ``Instance.ignore``, a segmentation is a polygon, or
    a mask if it has several parts or is run lengths; other fields are in ``Instance.extra``, and so
    are keypoints unless ``keypoints`` says how they are called. Coordinates refer to the image as
    people see it, by its EXIF orientation. The parsed file stays in memory, and forked workers come
    to copy it; a set of a million annotations is better converted to TSV.

    Args:
        ann_file: the JSON file.
        image_dir: the folder of ``file_name``; left out, that of ``ann_file``.
        exhaustive: whether every category was looked for in every image. If so, those without an
            annotation are known to be absent. COCO does so for its 80, federated sets such as LVIS
            do not, and the file does not tell.
        keypoints: the schema of the file's keypoints, a name or a config
            (`rexkit.keypoints.find_schema`). Those labelled, hidden ones (v = 1) too, have a place
            in ``Instance.keypoints``; the others (v = 0) are None.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`. Annotations
            whose image the file does not list are a row that cannot be used.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is not COCO JSON, or its keypoints are not those of the schema. Whatever is
            wrong with an image or its annotations is raised when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        exhaustive: bool = False,
        keypoints: str | Mapping[str, Any] | None = None,
        on_error: OnError = "raise",
    ):
        self._path = Path(ann_file)
        self._image_dir = self._path.parent if image_dir is None else Path(image_dir)
        self._exhaustive = exhaustive
        data = read_coco(self._path)
        self._categories = {category["id"]: category for category in data["categories"]}
        self._keypoints: dict[Any, list[str]] = {}
        if keypoints is not None:
            self._keypoints = self._keypoint_names(find_schema(keypoints), data["categories"])
        images = {image["id"]: image for image in data["images"]}
        annotations = defaultdict(list)
        for annotation in data["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        self._images = [(i, images.get(i), annotations[i]) for i in {**images, **annotations}]
        super().__init__(len(self._images), "xyxy", on_error)

    def row_source(self, row: int) -> str:
        number, image, _ = self._images[row]
        return f"{self._path}: image {number}" + (f" ({image['file_name']})" if image else "")

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        _, image, annotations = self._images[row]
        if image is None:
            raise DataError(f"{len(annotations)} annotations name this image, 'images' does not")
        things = [self._thing(annotation, image) for annotation in annotations]
        present = {thing["phrase"] for thing in things}
        absent = [name for name in self._looked_for(image) if name not in present]
        things += [{"phrase": name, "bbox": None} for name in absent]
        size = {side: image[side] for side in ("width", "height") if side in image}
        return {**size, "boxes": things}, self._image_dir / str(image["file_name"])

    def _name(self, category: dict[str, Any]) -> Any:
        """What a category is called."""
        return category["name"]

    def _looked_for(self, image: dict[str, Any]) -> list[Any]:
        """Categories that have an annotation in an image if they are in it at all."""
        return [self._name(c) for c in self._categories.values()] if self._exhaustive else []

    def _thing(self, annotation: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        """A COCO annotation as a thing of a record."""
        number = annotation["category_id"]
        if number not in self._categories:
            raise DataError(f"annotation {annotation.get('id')} is of an unknown category {number}")
        thing = {"phrase": self._name(self._categories[number]), **annotation}
        for field in ("image_id", "category_id"):
            del thing[field]
        thing["ignore"] = thing.pop("iscrowd", 0)
        bbox = thing.get("bbox")
        # What is no box stays as it is, for the checks to name.
        if isinstance(bbox, list) and [type(x) in (int, float) for x in bbox] == [True] * 4:
            x, y, width, height = bbox
            thing["bbox"] = [x, y, x + width, y + height]
        if number in self._keypoints and "keypoints" in thing:
            thing["keypoints"] = _named(thing["keypoints"], self._keypoints[number])
        return thing

    def _keypoint_names(
        self, schema: KeypointSchema, categories: Sequence[dict[str, Any]]
    ) -> dict[Any, list[str]]:
        """The schema's names for the keypoints of each category that has any."""
        found = {}
        for category in categories:
            if names := category.get("keypoints"):
                try:
                    found[category["id"]] = schema.rename(names)
                except ValueError as error:
                    place = f"{self._path}: category {category['name']!r}"
                    raise DataError(str(error), place) from error
        if not found:
            raise DataError("no category lists its 'keypoints'", str(self._path))
        return found


def _named(triples: Any, names: Sequence[str]) -> dict[str, list[float] | None]:
    """COCO's x, y, v of every keypoint as places by name."""
    if not isinstance(triples, list) or len(triples) != 3 * len(names):
        raise DataError(f"keypoints must be {len(names)} times x, y, v; got {short(triples)}")
    places = zip(triples[0::3], triples[1::3], triples[2::3], strict=True)
    return {name: [x, y] if v else None for name, (x, y, v) in zip(names, places, strict=True)}


def _with_file_name(image: Any) -> Any:
    """An image whose file is named only by ``coco_url``, as in LVIS: ``train2017/000….jpg``."""
    if isinstance(image, dict) and "file_name" not in image and "coco_url" in image:
        return {**image, "file_name": "/".join(str(image["coco_url"]).split("/")[-2:])}
    return image


_REQUIRED = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}


def is_coco(path: Path) -> bool:
    """Whether a file looks like COCO JSON rather than JSONL, by its first line."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        first = json.loads(line)
    except ValueError:  # an object over several lines, as JSON is printed with an indent
        return line.strip() == b"{"
    return isinstance(first, dict) and isinstance(first.get("images"), list)


def read_coco(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A COCO JSON file, with the fields that everything rests on.

    Raises:
        DataError: it is not JSON, a list or a field is missing, or an id is there twice.
    """
    try:
        data: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"bad JSON ({error})", str(path)) from error
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        data["images"] = [_with_file_name(image) for image in data["images"]]
    for name, fields in _REQUIRED.items():
        entries = data.get(name) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"COCO JSON has a list {name!r}; this file has none", str(path))
        for number, entry in enumerate(entries):
            missing = [f for f in fields if not isinstance(entry, dict) or f not in entry]
            if missing:
                raise DataError(f"{name}[{number}] has no {missing[0]!r}", str(path))
        if "id" in fields and len({entry["id"] for entry in entries}) != len(entries):
            raise DataError(f"two of {name!r} have the same id", str(path))
    return {name: data[name] for name in _REQUIRED}
