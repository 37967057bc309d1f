"""TSV data sets: images and annotations in two large files, and an index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rexkit.datasets.row_dataset import OnError, Orientation, RowDataset
from rexkit.formats.coordinates import BoxFormat, Coordinates, OnOutside
from rexkit.formats.images import Color
from rexkit.formats.tsv import TSVReader
from rexkit.registry import DATASETS


@DATASETS.register_module()
class TSVDataset(RowDataset):
    """The three-file format of the public Rex-Omni fine-tuning data.

    - ``*.images.tsv``: a line for each image, any key, a tab, the image file in base64
      (``b'…'`` around it is accepted);
    - ``*.annotations.tsv``: a line for each sample, the byte offset of its image's line, a tab,
      a JSON record (`rexkit.formats.annotation_records` lists its keys). Several may name one
      image;
    - ``*.lineidx``: a line for each sample, the byte offset of its annotation line, in any order.

    The large files are memory-mapped, so a dataset costs eight bytes a row, in workers too. Line
    numbers in messages are those of the index, which are the annotation file's where the index
    lists all its lines in order.

    Args:
        img_tsv_file: the images.
        ann_tsv_file: the annotations.
        ann_lineidx_file: the index of the annotations.
        box_format: what ``bbox`` means: "xyxy", "xywh" or "cxcywh".
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.
        coordinates: "pixels", or the range of other coordinates, such as "0-1", as there.
        partial_index: whether the index may leave out lines of the annotations, or repeat them:
            one that chooses rows. If not, either is an error, since it may have been cut off.

    Raises:
        FileNotFoundError: one of the files is missing.
        DataError: the index is not complete. Whatever is wrong with a row is raised when it is
            read.
    """

    def __init__(
        self,
        img_tsv_file: str | os.PathLike[str],
        ann_tsv_file: str | os.PathLike[str],
        ann_lineidx_file: str | os.PathLike[str],
        box_format: BoxFormat = "xyxy",
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        background: Color = "white",
        orientation: Orientation | None = None,
        coordinates: Coordinates | None = None,
        partial_index: bool = False,
    ):
        self._files = TSVReader(img_tsv_file, ann_tsv_file, ann_lineidx_file, partial_index)
        super().__init__(
            len(self._files),
            box_format,
            on_error,
            on_outside,
            background,
            orientation,
            coordinates,
        )

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._files.location(row)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        return self._files.read(row)

    def load_record(self, row: int) -> Any:
        """Return the annotation record of a row; its image is not read."""
        return self._files.record(row)
