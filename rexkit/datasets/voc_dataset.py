"""Pascal VOC data sets: an XML file for each image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError, did_you_mean
from rexkit.formats.images import IMAGE_SUFFIXES
from rexkit.formats.voc import read_voc, voc_image
from rexkit.registry import DATASETS


@DATASETS.register_module()
class VocDataset(RowDataset):
    """A folder of Pascal VOC's XML files and one of images; a row for each XML file.

    ``difficult`` objects are ``Instance.ignore``; polygons and rotated boxes (``robndbox``) are
    read; ``pose``, ``truncated``, ``occluded`` and others are in ``Instance.extra``.

    Args:
        root: a folder with ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``, or one of XML
            files.
        image_dir: the folder of the images; left out, ``JPEGImages``, or that of the XML files.
        split: the name of a list in ``ImageSets/Main``, such as "train"; left out, all XML files.
        one_based: whether coordinates count from 1, as in the data sets of the VOC challenge.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: a folder is missing, or has no XML files.
        DataError: there is no such split. Whatever is wrong with a file is raised when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        split: str | None = None,
        one_based: bool = False,
        **options: Unpack[RowOptions],
    ):
        folder = Path(root)
        is_devkit = (folder / "Annotations").is_dir()
        annotations = folder / "Annotations" if is_devkit else folder
        images = folder / "JPEGImages"
        self._image_dir = Path(image_dir or (images if images.is_dir() else annotations))
        self._one_based = one_based
        found = (Path(d) / f for d, _, names in os.walk(annotations) for f in names)
        files = sorted(path for path in found if path.suffix.lower() == ".xml")
        if split is not None:
            wanted = _listed(folder / "ImageSets" / "Main", split)
            by_name = {
                path.relative_to(annotations).with_suffix("").as_posix(): path for path in files
            }
            files = [by_name.get(name, annotations / f"{name}.xml") for name in wanted]
        if not files:
            raise FileNotFoundError(f"there are no XML files in {annotations}")
        self._files, self._annotations = files, annotations
        super().__init__(len(files), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return str(self._files[row])

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        path = self._files[row]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})") from error
        record, name = read_voc(data, self._one_based)
        inside = self._image_dir / path.parent.relative_to(self._annotations)
        for folder in (inside, self._image_dir):
            image = voc_image(path, name, folder, IMAGE_SUFFIXES)
            if image.is_file():
                break
        return record, image


def _listed(folder: Path, split: str) -> list[str]:
    """Return the names in a list of ``ImageSets/Main``; those of classes have -1 for others."""
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.txt")]
        raise DataError(f"there is no split {split!r}; {did_you_mean(split, known)}", str(folder))
    rows = (line.split() for line in path.read_text("utf-8-sig").splitlines())
    return [words[0] for words in rows if words and words[1:2] != ["-1"]]
