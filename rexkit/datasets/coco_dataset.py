"""COCO data sets: one JSON file of images, annotations and categories, images in a folder."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rexkit.datasets.row_dataset import OnError, Orientation, RowDataset
from rexkit.errors import DataError
from rexkit.formats.coco import (
    category_keypoints,
    coco_entry,
    grouping_categories,
    read_coco,
)
from rexkit.formats.coordinates import BoxFormat, Coordinates, OnOutside, short
from rexkit.formats.images import Color
from rexkit.keypoints import find_schema
from rexkit.registry import DATASETS

logger = logging.getLogger(__name__)

NAMES_OF_FILE = "file"


@DATASETS.register_module()
class CocoDataset(RowDataset):
    """A COCO JSON file and a folder of images: a row for each image, in the file's order.

    Phrases are category names; ``iscrowd`` or ``ignore`` is ``Instance.ignore``; a segmentation is
    a polygon, or a mask if it has several parts or is run lengths; other fields are in
    ``Instance.extra``, and so are keypoints unless ``keypoints`` names them. An annotation without
    a box has the one around its segmentation, and is an error without that; so has and is a
    rotated one (``rotation`` or ``attributes.rotation``, as CVAT writes it). The parsed file stays
    in memory, and forked workers come to copy it; a data set of a million annotations is better
    converted to TSV.

    Args:
        ann_file: the JSON file.
        image_dir: the folder of ``file_name``; left out, that of ``ann_file``.
        exhaustive: whether every category was looked for in every image. If so, those without an
            annotation are known to be absent. COCO does so for its 80, federated sets such as LVIS
            do not, and the file does not say. Supercategories without any annotation, such as the
            first category of Roboflow's exports, are not asked for, nor is anything of images with
            PoseTrack's ``"is_labeled": false``.
        keypoints: the schema of the file's keypoints, a name or a config
            (`rexkit.keypoints.find_schema`), or "file" for the names that the file's categories
            list. Those labelled, hidden ones (v = 1) too, have a place
            in ``Instance.keypoints``; the others (v = 0) are None. ``extra["hidden_keypoints"]``
            names the hidden ones.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`. Annotations
            whose image the file does not list are a row that cannot be used.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.
        coordinates: "pixels", or the range of other coordinates, such as "0-1", as there.
        box_format: what ``bbox`` means; COCO's is "xywh".

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
        on_outside: OnOutside = "clamp",
        background: Color = "white",
        orientation: Orientation | None = None,
        coordinates: Coordinates | None = None,
        box_format: BoxFormat = "xywh",
    ):
        self._path = Path(ann_file)
        self._image_dir = self._path.parent if image_dir is None else Path(image_dir)
        self._exhaustive = exhaustive
        unusable: list[DataError] | None = [] if on_error == "skip" else None
        data = read_coco(self._path, unusable)
        self._categories = {category["id"]: category for category in data["categories"]}
        groups = grouping_categories(data["categories"], data["annotations"])
        self._asked = [
            category
            for number, category in self._categories.items()
            if number not in groups and isinstance(category["name"], str)
        ]
        if exhaustive and groups:
            names = ", ".join(repr(self._categories[number]["name"]) for number in groups)
            logger.warning("%s: %s only groups others and is not asked for", self._path, names)
        self._keypoints: dict[Any, list[str]] = {}
        if keypoints is not None:
            self._keypoints = category_keypoints(
                data["categories"],
                None if keypoints == NAMES_OF_FILE else find_schema(keypoints),
                self._path,
            )
        images = {image["id"]: image for image in data["images"]}
        annotations = defaultdict(list)
        for annotation in data["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        self._images = [(i, images.get(i), annotations[i]) for i in {**images, **annotations}]
        super().__init__(
            len(self._images),
            box_format,
            on_error,
            on_outside,
            background,
            orientation,
            coordinates,
        )
        if unusable:
            self.skipped[:0] = unusable
            logger.warning("%s: %d entries are skipped: %s", self._path, len(unusable), unusable[0])

    def file_names(self) -> Iterator[str]:
        """Yield what the file names its images, in its order."""
        return (str(image["file_name"]) for _, image, _ in self._images if image)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        number, image, _ = self._images[row]
        return f"{self._path}: image {number}" + (f" ({image['file_name']})" if image else "")

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        _, image, annotations = self._images[row]
        if image is None:
            raise DataError(f"{len(annotations)} annotations name this image, 'images' does not")
        entries = [self._entry(annotation, image) for annotation in annotations]
        present = {entry["phrase"] for entry in entries}
        absent = [name for name in self._annotated_phrases(image) if name not in present]
        entries += [{"phrase": name, "bbox": None} for name in absent]
        size = {side: image[side] for side in ("width", "height") if side in image}
        return {**size, "boxes": entries}, self._image_dir / str(image["file_name"])

    def _name(self, category: dict[str, Any]) -> Any:
        """Return the phrase of a category."""
        return category["name"]

    def _annotated_phrases(self, image: dict[str, Any]) -> list[Any]:
        """Phrases that have an annotation in an image if they are in it at all."""
        looked_for = self._exhaustive and image.get("is_labeled") is not False
        return [self._name(c) for c in self._asked] if looked_for else []

    def _entry(self, annotation: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of an annotation record that a COCO annotation stands for."""
        number = annotation["category_id"]
        if number not in self._categories:
            raise DataError(
                f"annotation {annotation.get('id')} has the category_id {number!r}, which is none "
                f"of the ids of 'categories': {short(list(self._categories))}"
            )
        phrase = self._name(self._categories[number])
        if not isinstance(phrase, str):
            raise DataError(f"category {number!r} must have a name, a string; got {short(phrase)}")
        return coco_entry(annotation, phrase, self._keypoints.get(number))
