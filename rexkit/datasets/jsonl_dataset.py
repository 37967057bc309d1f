"""JSONL data sets: one JSON object a line, images in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rexkit.datasets.row_dataset import OnError, Orientation, RowDataset
from rexkit.errors import DataError
from rexkit.formats.coordinates import BoxFormat, Coordinates, OnOutside
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.images import Color
from rexkit.formats.json_lines import JsonLinesFile
from rexkit.registry import DATASETS


@DATASETS.register_module()
class JsonlDataset(RowDataset):
    """A file with one JSON object a line; blank lines mean nothing.

    ``image`` or ``image_name`` is the image's path. The record is the object under
    ``annotation``, or else the row itself::

        {"image_name": "a.jpg", "annotation": {"boxes": [{"bbox": [5, 5, 9, 9], "phrase": "cup"}]}}
        {"image": "b.png", "label": "cell", "instances": [{"point": [3, 7]}, {"point": [9, 2]}]}

    `rexkit.formats.annotation_records` lists what a record may hold. The file is read once, to find
    its lines; rows are parsed when they are read. One JSON list of such objects is read too, and
    kept in memory.

    Args:
        ann_file: the JSONL file.
        image_dir: the folder that paths are relative to; left out, that of ``ann_file``.
        box_format: what ``bbox`` means: "xyxy", "xywh" or "cxcywh".
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.
        coordinates: "pixels", or the range of other coordinates, such as "0-1", as there.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is one JSON object over several lines, or of another format. Whatever is wrong
            with a row is raised when it is read.
    """

    image_keys: ClassVar[tuple[str, ...]] = ("image", "image_name")

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        box_format: BoxFormat = "xyxy",
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        background: Color = "white",
        orientation: Orientation | None = None,
        coordinates: Coordinates | None = None,
    ):
        self._file = JsonLinesFile(ann_file)
        self._image_dir = self._file.path.parent if image_dir is None else Path(image_dir)
        super().__init__(
            self.count_rows(),
            box_format,
            on_error,
            on_outside,
            background,
            orientation,
            coordinates,
        )

    def count_rows(self) -> int:
        """Return the number of rows, once the file is open."""
        return len(self._file)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._file.location(row)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        fields = self._file.value(row)
        if not isinstance(fields, Mapping):
            raise DataError("a row must be a JSON object")
        name = next((fields[key] for key in self.image_keys if key in fields), None)
        if not isinstance(name, str):
            keys = " or ".join(map(repr, self.image_keys))
            hint = foreign_format(fields)
            raise DataError(
                f"a row must name its {keys}; it has {list(fields)}{f'; {hint}' if hint else ''}"
            )
        return self.record(fields), self._image_dir / name

    def record(self, fields: Mapping[str, Any]) -> Any:
        """Return the annotation record in the fields of a row."""
        return fields.get("annotation", fields)
