"""ScreenSpot data sets: instructions and the elements of screenshots that they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.foreign_formats import foreign_format
from rexkit.formats.json_lists import JsonListFile
from rexkit.formats.screenspot import read_screenspot
from rexkit.registry import DATASETS

IMAGE_FOLDERS = ("screenspot_imgs", "screenspotv2_image", "images", "../images")
"""Where the images of a file are, relative to its folder: ScreenSpot, v2, Pro."""


@DATASETS.register_module()
class ScreenspotDataset(RowDataset):
    """ScreenSpot, ScreenSpot-v2 and ScreenSpot-Pro: a row for each instruction.

    The phrase of the only instance is the instruction; ``data_type``, ``data_source``, ``platform``
    and others are in its ``extra``. The boxes of ScreenSpot-Pro, whose rows have ``img_size``, are
    corners, those of the others x y width height.

    Args:
        ann_file: such as ``screenspot_web.json``, one JSON list, which is read once.
        image_dir: the folder of the images; left out, the first of `IMAGE_FOLDERS` that is there,
            or that of ``ann_file``.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is of another format. Whatever is wrong with a row is raised when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[RowOptions],
    ):
        self._file = JsonListFile(ann_file)
        self._image_dir = Path(image_dir or screenspot_images(self._file.path))
        super().__init__(len(self._file), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._file.location(row)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        fields = self._file.value(row)
        name = fields.get("img_filename")
        if not isinstance(name, str):
            hint = foreign_format(fields)
            raise DataError(
                f"a row of ScreenSpot names its 'img_filename'; it has {list(fields)}"
                + (f"; {hint}" if hint else "")
            )
        return read_screenspot(fields), self._image_dir / name


def screenspot_images(ann_file: Path) -> Path:
    """Return the folder of the images of a file."""
    folders = (ann_file.parent / name for name in IMAGE_FOLDERS)
    return next((folder for folder in folders if folder.is_dir()), ann_file.parent)
