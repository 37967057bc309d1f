"""LVIS data sets: COCO JSON of many categories, each annotated in some of the images only."""

from __future__ import annotations

import os
from typing import Any

from rexkit.datasets.coco_dataset import CocoDataset
from rexkit.datasets.row_dataset import OnError, Orientation
from rexkit.errors import DataError
from rexkit.formats.coordinates import OnOutside
from rexkit.formats.images import Color
from rexkit.formats.lvis import lvis_category_ids, lvis_phrase
from rexkit.registry import DATASETS


@DATASETS.register_module()
class LvisDataset(CocoDataset):
    """LVIS JSON (v0.5 or v1) and a folder of COCO's images, with the categories annotated in each.

    As `CocoDataset`, and:

    - The categories of an image's ``neg_category_ids`` are known to be absent; nothing is known of
      any other without an annotation.
    - Instances of its ``not_exhaustive_category_ids`` have ``extra["not_exhaustive"]``: there may
      be more of them in the image than are annotated.
    - ``extra["frequency"]`` is their category's group, r, c or f. `LvisAP` uses all three.
    - A phrase is the name of the category with spaces for underscores: "baby buggy".
    - Where an image has no ``file_name``, as in v1, its file is the end of its ``coco_url``, such
      as ``train2017/000000391895.jpg``.

    Args:
        ann_file: the JSON file.
        image_dir: the folder of the files; left out, that of ``ann_file``.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is not COCO JSON, or two categories have one name. An image that lacks LVIS's
            fields, like whatever is wrong with it, is an error when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        background: Color = "white",
        orientation: Orientation | None = None,
    ):
        super().__init__(
            ann_file,
            image_dir,
            on_error=on_error,
            on_outside=on_outside,
            background=background,
            orientation=orientation,
            coordinates="pixels",
        )
        names = [self._name(category) for category in self._categories.values()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise DataError(f"two categories are called {min(twice)!r}", str(ann_file))

    def _name(self, category: dict[str, Any]) -> str:
        return lvis_phrase(category)

    def _annotated_phrases(self, image: dict[str, Any]) -> list[str]:
        negatives = lvis_category_ids(image, "neg_category_ids")
        if unknown := [number for number in negatives if number not in self._categories]:
            raise DataError(f"neg_category_ids names an unknown category {unknown[0]!r}")
        return [self._name(self._categories[number]) for number in negatives]

    def _entry(self, annotation: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        entry = super()._entry(annotation, image)
        number = annotation["category_id"]
        if frequency := self._categories[number].get("frequency"):
            entry["frequency"] = frequency
        if number in lvis_category_ids(image, "not_exhaustive_category_ids"):
            entry["not_exhaustive"] = True
        return entry
