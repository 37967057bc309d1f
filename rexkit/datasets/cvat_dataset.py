"""CVAT data sets: XML files of "CVAT for images 1.1", images in a folder."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError, did_you_mean
from rexkit.formats.cvat import read_cvat_image
from rexkit.formats.cvat_files import CvatFile, is_cvat
from rexkit.formats.path_ends import first_file
from rexkit.registry import DATASETS

logger = logging.getLogger(__name__)


@DATASETS.register_module()
class CvatDataset(RowDataset):
    """The export "CVAT for images 1.1" of a task, job or project; a row for each image.

    `rexkit.formats.cvat.read_cvat_image` says what shapes become. Polylines and cuboids are left
    out, counted and logged. An image without shapes has no instances, whether or not anybody
    looked at it: CVAT's file does not say. Files are parsed once, to find their images.

    Args:
        ann_file: the XML file, or a folder with those of several jobs.
        image_dir: the folder of the images, which may have one for each subset; left out,
            ``images`` beside the file, or the file's folder.
        subset: read the images of this subset of a project only.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Attributes:
        left_out_shapes: how many shapes were left out, by their kind.
        subsets: of the images in the files.

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        DataError: a file is no such XML, or there is no such subset. Whatever is wrong with an
            image is raised when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        subset: str | None = None,
        **options: Unpack[RowOptions],
    ):
        path = Path(ann_file)
        self._image_dir = None if image_dir is None else Path(image_dir)
        files = [f for f in sorted(path.rglob("*.xml")) if is_cvat(f)] if path.is_dir() else [path]
        if not files:
            raise FileNotFoundError(f"there is no XML file of CVAT in {path}")
        self._files = [CvatFile(file) for file in files]
        self.subsets = list(dict.fromkeys(s for file in self._files for s in file.subsets))
        if subset is not None and subset not in self.subsets:
            raise DataError(
                f"there is no subset {subset!r}; {did_you_mean(subset, self.subsets)}", str(path)
            )
        self._places = [
            (number, image)
            for number, file in enumerate(self._files)
            for image in range(len(file))
            if subset in (None, file.subsets[image])
        ]
        self.left_out_shapes = sum((file.left_out for file in self._files), Counter[str]())
        if self.left_out_shapes:
            kinds = ", ".join(f"{number} {kind}" for kind, number in self.left_out_shapes.items())
            logger.warning("%s: shapes without area are left out: %s", path, kinds)
        super().__init__(len(self._places), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        number, image = self._places[row]
        return f"{self._files[number].path}: {self._files[number].names[image]}"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        number, image = self._places[row]
        file = self._files[number]
        name, folder = file.names[image], file.path.parent
        ends = [f"{subset}/{name}" for subset in (file.subsets[image], ".", "default")]
        folders = [folder / "images", folder] if self._image_dir is None else [self._image_dir]
        for root in folders:
            found = first_file(root, ends)
            if found is not None:
                return read_cvat_image(file.image(image)), found
        raise DataError(f"there is no image {name!r} in {folders[-1]}; set image_dir")
