"""LabelMe data sets: a JSON file for each image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.json_lines import parse_json
from rexkit.formats.labelme import embedded_image, read_labelme
from rexkit.registry import DATASETS


@DATASETS.register_module()
class LabelMeDataset(RowDataset):
    """A folder of LabelMe's JSON files; a row for each of them.

    Those of AnyLabeling and X-AnyLabeling are read too. `rexkit.formats.labelme.read_labelme` says
    what their shapes become.

    Args:
        root: the folder of the JSON files, and of those in its sub-folders.
        image_dir: the folder of the images; left out, they are where ``imagePath`` says, beside
            their JSON file, or in it (``imageData``).
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: there is no JSON file in the folder. Whatever is wrong with a file is
            raised when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[RowOptions],
    ):
        self._root = Path(root)
        self._image_dir = None if image_dir is None else Path(image_dir)
        found = (Path(d) / f for d, _, names in os.walk(self._root) for f in names)
        self._files = sorted(path for path in found if path.suffix.lower() == ".json")
        if not self._files:
            raise FileNotFoundError(f"there are no JSON files in {self._root}")
        super().__init__(len(self._files), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return str(self._files[row])

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        path = self._files[row]
        try:
            value = parse_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})") from error
        record = read_labelme(value)
        name = str(value.get("imagePath") or "").replace("\\", "/")
        folder = path.parent
        if self._image_dir is not None:
            folder = self._image_dir / folder.relative_to(self._root)
        places = [folder / name, folder / Path(name).name]
        if self._image_dir is not None:
            places.append(self._image_dir / name)
        image = next((place for place in places if name and place.is_file()), None)
        if image is not None:
            return record, image
        embedded = embedded_image(value)
        if embedded is None:
            raise DataError(f"there is no image {name!r} in {folder}, nor in the file itself")
        return record, embedded
