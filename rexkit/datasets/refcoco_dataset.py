"""RefCOCO data sets: referring expressions for the objects of COCO images."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError, did_you_mean
from rexkit.formats.coco import coco_entry, read_coco
from rexkit.formats.refcoco import INSTANCES, Reference, find_refs, read_refs
from rexkit.registry import DATASETS

logger = logging.getLogger(__name__)


@DATASETS.register_module()
class RefcocoDataset(RowDataset):
    """RefCOCO, RefCOCO+, RefCOCOg, RefClef and gRefCOCO; a row for each image of a split.

    An instance is one object under one expression: those with several expressions are as many
    instances. ``Instance.extra`` has its ``ref_id`` and its ``category``. Expressions of gRefCOCO
    that nothing in the image fits are absent phrases. Objects without an expression are passed
    over. The files stay in memory.

    Args:
        root: the folder with ``instances.json`` and ``refs(unc).p`` or ``grefs(unc).json``, or
            that file. Nothing in a pickle is run; one that names a class or function is refused.
        image_dir: the folder of the images, such as COCO's ``train2014``; left out, ``images`` in
            the folder of the file, or that folder.
        split: "train", "val", "testA", …; left out, all.
        split_by: "unc", "google", "umd", …, where the folder has several files.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: it is of another form, or there is no such split. Whatever is wrong with an image
            is raised when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        split: str | None = None,
        split_by: str | None = None,
        **options: Unpack[RowOptions],
    ):
        path = Path(root)
        self._path = path if path.is_file() else find_refs(path, split_by)
        own = self._path.parent / "images"
        self._image_dir = Path(image_dir or (own if own.is_dir() else self._path.parent))
        unusable: list[DataError] | None = [] if options.get("on_error") == "skip" else None
        by_image: dict[Any, list[Reference]] = defaultdict(list)
        splits: dict[str, None] = {}
        for reference in read_refs(self._path, unusable):
            splits.setdefault(reference.split)
            if split is None or reference.split == split:
                by_image[reference.image_id].append(reference)
        self.splits = [*splits]
        if split is not None and split not in splits:
            hint = did_you_mean(split, self.splits)
            raise DataError(f"there is no split {split!r}; {hint}", str(self._path))
        self._refs = [*by_image.items()]
        data = read_coco(self._path.with_name(INSTANCES), unusable)
        self._images = {image["id"]: image for image in data["images"]}
        self._categories = {category["id"]: category["name"] for category in data["categories"]}
        # Those with another id have no reference: theirs are numbers or texts.
        self._annotations = {
            annotation["id"]: annotation
            for annotation in data["annotations"]
            if isinstance(annotation.get("id"), int | str)
        }
        super().__init__(len(self._refs), "xywh", **options)
        if unusable:
            self.skipped[:0] = unusable
            logger.warning("%s: %d entries are skipped: %s", self._path, len(unusable), unusable[0])

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self._path}: image {self._refs[row][0]}"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        number, references = self._refs[row]
        image = self._images.get(number)
        if image is None:
            raise DataError(f"{INSTANCES} has no such image")
        entries: dict[Any, dict[str, Any]] = {}
        for reference in references:
            for key, entry in self._entries(reference):
                entries.setdefault(key, entry)
        size = {side: image[side] for side in ("width", "height") if side in image}
        return {**size, "instances": [*entries.values()]}, self._image_dir / image["file_name"]

    def _entries(self, reference: Reference) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield an entry for each expression and object, with what tells it from others."""
        for sentence in reference.sentences:
            if not reference.ann_ids:
                yield (sentence, None), {"phrase": sentence, "bbox": None}
            for number in reference.ann_ids:
                annotation = self._annotations.get(number)
                if annotation is None:
                    what = f"reference {reference.ref_id} is to the annotation {number!r}"
                    raise DataError(f"{what}, which {INSTANCES} does not have")
                if annotation["image_id"] != reference.image_id:
                    what = f"reference {reference.ref_id} is to an object of the image"
                    raise DataError(f"{what} {annotation['image_id']!r}")
                named = {"ref_id": reference.ref_id, "category": self._category(annotation)}
                yield (sentence, number), {**coco_entry(annotation, sentence), **named}

    def _category(self, annotation: dict[str, Any]) -> Any:
        return self._categories.get(annotation["category_id"])
