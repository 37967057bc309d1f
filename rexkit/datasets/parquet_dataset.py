"""Parquet data sets: images and their objects in one file or several."""

from __future__ import annotations

import bisect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.coordinates import BoxFormat, short
from rexkit.formats.parquet import IMAGE, OBJECTS, ParquetFile, read_objects
from rexkit.registry import DATASETS


@DATASETS.register_module()
class ParquetDataset(RowDataset):
    """Parquet files as the `datasets` library writes them; needs ``pip install 'rexkit[parquet]'``.

    A row has ``image``, with its bytes, its path, or both, and ``objects`` with ``bbox`` and
    ``category``, as `rexkit.formats.parquet.read_objects` says; or the lists of an annotation
    record, such as ``boxes``. Labels that are numbers have the names that the file's metadata
    has.

    A row group is in memory at a time. That suits reading in order; to train in random order on
    large row groups, convert the files to TSV first.

    Args:
        files: a file, a folder of files, or a list of files.
        image_dir: the folder that paths of images without bytes are relative to; left out, that of
            the first file.
        box_format: what ``bbox`` means; left out, "xywh" in ``objects``, as the documentation of
            `datasets` has it, "xyxy" in other lists.
        labels: the names of labels that are numbers, where the files have none.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        UserError: pyarrow is not installed.
        FileNotFoundError: there is no file.
        DataError: one is no Parquet file, or has no column ``image``. Whatever is wrong with a row
            is raised when it is read.
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        image_dir: str | os.PathLike[str] | None = None,
        box_format: BoxFormat | None = None,
        labels: Sequence[str] | None = None,
        **options: Unpack[RowOptions],
    ):
        paths = [Path(files)] if isinstance(files, str | os.PathLike) else [*map(Path, files)]
        if len(paths) == 1 and paths[0].is_dir():
            found = sorted(paths[0].glob("*.parquet"))
            if not found:
                raise FileNotFoundError(f"there is no file *.parquet in {paths[0]}")
            paths = found
        self._files = [ParquetFile(path) for path in paths]
        for file in self._files:
            if IMAGE not in file.columns:
                what = f"there is no column {IMAGE!r}; the columns are {file.columns}"
                raise DataError(what, str(file.path))
        self._ends = [*accumulate(map(len, self._files))]
        self._labels = labels
        self._image_dir = paths[0].parent if image_dir is None else Path(image_dir)
        is_of_datasets = OBJECTS in self._files[0].columns
        super().__init__(
            self._ends[-1], box_format or ("xywh" if is_of_datasets else "xyxy"), **options
        )

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        file, index = self._place(row)
        return f"{file.path}[{index}]"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        file, index = self._place(row)
        fields = file.row(index)
        return self._record(file, fields), self._image(fields[IMAGE])

    def load_record(self, row: int) -> Any:
        """Return the annotation record of a row, without reading its image."""
        file, index = self._place(row)
        columns = [name for name in file.columns if name != IMAGE]
        return self._record(file, file.row(index, columns))

    def image_name(self, index: int) -> str | None:
        """Return the path that an image has beside its bytes, where those of all rows differ."""
        return self._names[self._row(index)] if self._names else None

    def _record(self, file: ParquetFile, fields: dict[str, Any]) -> Any:
        return read_objects(fields, file.names, self._labels)

    def _image(self, image: Any) -> Path | bytes:
        found = image
        if isinstance(image, Mapping):
            found = image.get("path") if image.get("bytes") is None else image["bytes"]
        if isinstance(found, bytes):
            return found
        if isinstance(found, str):
            return self._image_dir / found
        raise DataError(f"{IMAGE} must be bytes or a path, got {short(image)}")

    def _place(self, row: int) -> tuple[ParquetFile, int]:
        number = bisect.bisect_right(self._ends, row)
        return self._files[number], row - (self._ends[number - 1] if number else 0)

    @cached_property
    def _names(self) -> list[str]:
        """The paths of all images, or none where two are the same or lead out of a folder."""
        names = [name for file in self._files for name in file.image_paths()]
        kept = [name for name in names if name is not None and _is_inside(name)]
        is_usable = len(kept) == len(names) and max(Counter(kept).values(), default=1) == 1
        return kept if is_usable else []


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts
