"""Label Studio data sets: one JSON list of tasks, images in a folder."""

from __future__ import annotations

import logging
import os
from array import array
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.images import read_header
from rexkit.formats.json_lists import json_list_items, read_json_item
from rexkit.formats.labelstudio import image_fields, read_labelstudio
from rexkit.formats.labelstudio_shapes import embedded_image
from rexkit.formats.labelstudio_tasks import (
    chosen_annotation,
    image_paths,
    image_reference,
    is_labelstudio_task,
)
from rexkit.formats.path_ends import first_file
from rexkit.registry import DATASETS

logger = logging.getLogger(__name__)


@DATASETS.register_module()
class LabelStudioDataset(RowDataset):
    """Label Studio's JSON export; a row for each task that is annotated.

    The latest annotation of a task that was not skipped counts. Tasks without one are left out and
    counted: they are not images without objects. `rexkit.formats.labelstudio.read_labelstudio` says
    what results become; other fields of ``data`` are in ``Annotation.extra``.

    The image of a task is looked for in ``image_dir``, by the end of its address, upload path or
    local path, or is in the task itself (``data:image/…``). The file is read once, a task at a
    time; tasks are parsed again when they are read.

    Args:
        ann_file: the JSON file, a list of tasks.
        image_dir: the folder of the images; left out, that of ``ann_file``.
        predictions: read the latest prediction of tasks without an annotation.
        image_key: the field of ``data`` that has the image; left out, "image", or the only one that
            looks like one.
        phrase: of regions without a label.
        text_name: the name of the text area that holds transcriptions, where regions have several.
        options: as in `rexkit.datasets.row_dataset.RowDataset`. ``coordinates`` is "pixels", those
            of the file are per cent.

    Attributes:
        unannotated: how many tasks were left out.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is no list of objects, or no task is annotated. Whatever is wrong with a task
            is raised when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        predictions: bool = False,
        image_key: str | None = None,
        phrase: str | None = None,
        text_name: str | None = None,
        **options: Unpack[RowOptions],
    ):
        self._path = Path(ann_file)
        self._image_dir = self._path.parent if image_dir is None else Path(image_dir)
        self._predictions, self._image_key = predictions, image_key
        self._phrase, self._text_name = phrase, text_name
        self.unannotated = 0
        self._numbers, self._starts, self._ends = array("q"), array("q"), array("q")
        for number, item in enumerate(json_list_items(self._path)):
            if _is_unannotated(item.value, predictions):
                self.unannotated += 1
                continue
            self._numbers.append(number)
            self._starts.append(item.start)
            self._ends.append(item.end)
        hint = "" if predictions else "; predictions=True reads the predictions of such tasks"
        if not self._numbers:
            raise DataError(
                f"none of its {self.unannotated} tasks is annotated{hint}", str(ann_file)
            )
        if self.unannotated:
            what = "tasks have no annotation and are left out"
            logger.warning("%s: %d %s%s", self._path, self.unannotated, what, hint)
        options.setdefault("coordinates", "pixels")
        super().__init__(len(self._numbers), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return f"{self._path}[{self._numbers[row]}]"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        task = read_json_item(self._path, self._starts[row], self._ends[row])
        if not is_labelstudio_task(task):
            hint = foreign_format(task) or "export the project as JSON"
            raise DataError(
                f"this is no task of Label Studio with 'data' and 'annotations'; {hint}"
            )
        reference = image_reference(task, self._image_key)
        image = self._image(reference)
        record = read_labelstudio(
            chosen_annotation(task, self._predictions),
            lambda: read_header(image)[0],
            self._phrase,
            self._text_name,
        )
        others = {name: value for name, value in task["data"].items() if value is not reference}
        extra = {**image_fields(others), **record.pop("extra", {})}
        return record | ({"extra": extra} if extra else {}), image

    def _image(self, reference: str) -> Path | bytes:
        embedded = embedded_image(reference)
        if embedded is not None:
            return embedded
        found = first_file(self._image_dir, image_paths(reference))
        if found is None:
            raise DataError(
                f"there is no image {reference!r} in {self._image_dir}; set image_dir to the "
                "folder that has it"
            )
        return found


def _is_unannotated(task: Any, predictions: bool) -> bool:
    """Return whether an item is a task without annotation; what is wrong is an error of its row."""
    try:
        return is_labelstudio_task(task) and chosen_annotation(task, predictions) is None
    except DataError:
        return False
