"""TSV datasets: images and annotations in two large files, and an index."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.datasets.row_dataset import OnError, RowDataset
from rexkit.errors import DataError
from rexkit.formats.annotation_records import parse_json
from rexkit.formats.coordinates import BoxFormat
from rexkit.formats.mapped_file import MappedFile
from rexkit.registry import DATASETS


@DATASETS.register_module()
class TSVDataset(RowDataset):
    """The three-file format of the public Rex-Omni fine-tuning data.

    - ``*.images.tsv``: a line for each image, any key, a tab, the image file in base64
      (``b'…'`` around it is accepted);
    - ``*.annotations.tsv``: a line for each sample, the byte offset of its image's line, a tab,
      a JSON record (`rexkit.formats.annotation_records` lists its keys). Several may name one
      image;
    - ``*.lineidx``: a line for each sample, the byte offset of its annotation line.

    The large files are memory-mapped, so a dataset costs eight bytes a row, in workers too. Line
    numbers in messages are those of the index, which are the annotation file's where the index
    lists all its lines in order.

    Args:
        img_tsv_file: the images.
        ann_tsv_file: the annotations.
        ann_lineidx_file: the index of the annotations.
        box_format: "xyxy" or "xywh", what ``bbox`` means.
        on_error: "raise" or "skip", as `rexkit.datasets.row_dataset.RowDataset` tells.

    Raises:
        FileNotFoundError: one of the files is missing.
        DataError: the index is damaged. Whatever is wrong with a row is raised when it is read.
    """

    def __init__(
        self,
        img_tsv_file: str | os.PathLike[str],
        ann_tsv_file: str | os.PathLike[str],
        ann_lineidx_file: str | os.PathLike[str],
        box_format: BoxFormat = "xyxy",
        on_error: OnError = "raise",
    ):
        self._images = MappedFile(img_tsv_file)
        self._annotations = MappedFile(ann_tsv_file)
        self._offsets = _read_offsets(Path(ann_lineidx_file))
        super().__init__(len(self._offsets), box_format, on_error)

    def row_source(self, row: int) -> str:
        return f"{self._annotations.path}:{row + 1}"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        offset, tab, record = self._annotations.line(int(self._offsets[row])).partition(b"\t")
        if not tab or not offset.strip().isdigit():
            raise DataError(f"expected a byte offset, a tab and JSON, got {offset[:40]!r}")
        return parse_json(record), self._image(int(offset))

    def _image(self, offset: int) -> bytes:
        place = f"the image at byte {offset} of {self._images.path}"
        _, tab, encoded = self._images.line(offset).partition(b"\t")
        if not tab:
            raise DataError(f"{place} has no tab before its base64")
        encoded = encoded.strip()
        if encoded.startswith(b"b'"):
            encoded = encoded[2:].removesuffix(b"'")
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise DataError(f"{place} is bad base64 ({error})") from error


def _read_offsets(path: Path) -> NDArray[np.int64]:
    lines = path.read_bytes().split()
    try:
        return np.array(lines, dtype=np.bytes_).astype(np.int64)
    except ValueError:
        bad = next(i for i, line in enumerate(lines) if not line.isdigit())
        raise DataError(f"{lines[bad]!r} is no byte offset", f"{path}:{bad + 1}") from None
