"""ICDAR data sets: a text file of quadrilaterals and transcriptions beside each image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rexkit.datasets.row_dataset import OnError, Orientation, RowDataset
from rexkit.errors import DataError
from rexkit.formats.icdar import read_icdar, sort_key
from rexkit.formats.images import IMAGE_SUFFIXES, Color
from rexkit.registry import DATASETS


@DATASETS.register_module()
class IcdarDataset(RowDataset):
    """The text files of the Robust Reading Competition, as ICDAR 2015's, and their relatives.

    ``gt_img_1.txt`` describes ``img_1.jpg``, a line for each text::

        377,117,463,117,465,130,378,130,Genaxis Theatre
        374,155,409,155,409,170,374,170,###

    Four corners clockwise from the top left of the text, then all the rest of the line is the
    transcription, commas included; quotes around all of it, as CVAT writes them, are taken off. The
    files are UTF-8, with or without a byte order mark. An empty file is an image without text; an
    image without a file, or a file without an image, is a row that cannot be used. Rows are in the
    order of the names, img_2 before img_10. Texts and images in sub-folders of the same names are
    read, too.

    These are told from it and read, too:

    - MLT 2017 and 2019: a script before each transcription, ``…,Latin,EXIT``. It becomes
      ``extra["script"]``;
    - ICDAR 2013: ``38, 43, 920, 215, "Tiredness"``, the corners of an upright box;
    - CTW1500 (test set) and what follows it: a polygon, then ``####`` and the transcription;
    - RCTW-17: ``…,0,"TEXT"``, where 1 stands for a text that is difficult to read, which is
      ``ignore``;
    - Total-Text: ``x: [[…]], y: [[…]], ornt: [u'c'], transcriptions: [u'EXIT']``, where "#" is
      ``ignore`` (``prefix="poly_gt_"``); ``ornt`` becomes ``extra["ornt"]``.

    Lines with more numbers than eight and no ``####`` are an error.

    Args:
        ann_dir: the folder of the text files; those that are not named ``PREFIX*.txt`` are
            passed over.
        image_dir: the folder of the images; left out, ``ann_dir``.
        phrase: the phrase of every text: "word", or "text line" as in the receipts of SROIE.
        prefix: what is before the image's name: "gt_", or "" where both have one name.
        illegible: the transcription that stands for "cannot be read", which is ``ignore``.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.

    Raises:
        FileNotFoundError: a folder is missing, or holds nothing of the kind. Whatever is wrong with
            a row is raised when it is read.
    """

    def __init__(
        self,
        ann_dir: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        phrase: str = "word",
        prefix: str = "gt_",
        illegible: str = "###",
        on_error: OnError = "raise",
        background: Color = "white",
        orientation: Orientation | None = None,
    ):
        self._ann_dir = Path(ann_dir)
        self._image_dir = self._ann_dir if image_dir is None else Path(image_dir)
        self._phrase, self._prefix, self._illegible = phrase, prefix, illegible
        self._images = {
            name.with_suffix("").as_posix(): self._image_dir / name
            for name in _files(self._image_dir)
            if name.suffix.lower() in IMAGE_SUFFIXES
        }
        described = {
            name.with_name(name.stem.removeprefix(prefix)).as_posix()
            for name in _files(self._ann_dir)
            if name.suffix == ".txt" and name.stem.startswith(prefix) and name.stem != prefix
        }
        if not described:
            raise FileNotFoundError(
                f"{self._ann_dir} has no {prefix}*.txt; set prefix='' where the text files have "
                "the names of the images"
            )
        self._names = sorted(described | set(self._images), key=sort_key)
        super().__init__(
            len(self._names), "xyxy", on_error, "clamp", background, orientation, "pixels"
        )

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        folder, _, name = self._names[row].rpartition("/")
        return str(self._ann_dir / folder / f"{self._prefix}{name}.txt")

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        name = self._names[row]
        if name not in self._images:
            raise DataError(f"there is no image {name}.* in {self._image_dir}")
        entries = [
            {
                "phrase": self._phrase,
                "polygon": found.polygon,
                "text": found.transcription or self._illegible,
                "ignore": found.transcription is None,
                "id": found.line,
                **found.extra,
            }
            for found in read_icdar(Path(self.row_source(row)), self._illegible)
        ]
        return {"instances": entries}, self._images[name]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, relative to it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    for place, _, names in os.walk(folder):
        for name in names:
            yield (Path(place) / name).relative_to(folder)
