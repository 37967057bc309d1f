"""VoTT data sets: the JSON of assets, or of a project's export."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.path_ends import first_file
from rexkit.formats.vott import (
    NOT_VISITED,
    POLYLINE,
    asset_of,
    asset_paths,
    is_vott_asset,
    is_vott_export,
    read_vott,
    read_vott_file,
)
from rexkit.registry import DATASETS

logger = logging.getLogger(__name__)


@DATASETS.register_module()
class VottDataset(RowDataset):
    """VoTT 2's export of a project, or the files of its assets; a row for each visited asset.

    Rectangles are boxes, polygons and points are read, polylines are left out, counted and logged.
    Assets that nobody visited are left out, counted and logged, too; one that was visited and has
    no regions is an image without objects. The parsed files stay in memory.

    Args:
        root: a file ``NAME-export.json``, or a folder of such files, or of the files
            ``ID-asset.json`` that VoTT keeps for a project.
        image_dir: the folder of the images; left out, that of the JSON file. They are looked for by
            the end of their path.
        phrase: of regions without a tag.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Attributes:
        not_visited: how many assets were left out.
        left_out_shapes: how many polylines were.

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        DataError: a file is of another format, or no asset was visited. Whatever is wrong with an
            asset is raised when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        phrase: str | None = None,
        **options: Unpack[RowOptions],
    ):
        path = Path(root)
        self._image_dir, self._phrase = None if image_dir is None else Path(image_dir), phrase
        assets = [(file, asset) for file in _files(path) for asset in read_vott_file(file)]
        self._assets = [(file, asset) for file, asset in assets if _state(asset) != NOT_VISITED]
        self.not_visited = len(assets) - len(self._assets)
        if not self._assets:
            raise DataError(f"none of its {len(assets)} assets was visited", str(path))
        self.left_out_shapes = sum(_polylines(asset) for _, asset in self._assets)
        if self.not_visited:
            logger.warning("%s: %d assets nobody visited are left out", path, self.not_visited)
        if self.left_out_shapes:
            logger.warning("%s: %d polylines are left out", path, self.left_out_shapes)
        super().__init__(len(self._assets), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        file, value = self._assets[row]
        asset = value.get("asset") if isinstance(value, Mapping) else None
        name = asset.get("name") if isinstance(asset, Mapping) else f"asset {row}"
        return f"{file}: {name}"

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        file, value = self._assets[row]
        record = read_vott(value, self._phrase)
        folder = file.parent if self._image_dir is None else self._image_dir
        paths = asset_paths(asset_of(value))
        image = first_file(folder, paths)
        if image is None:
            raise DataError(f"there is no image {paths[-1:]} in {folder}; set image_dir")
        return record, image


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.json"))
    exports = [file for file in found if is_vott_export(file)]
    files = exports or [file for file in found if is_vott_asset(file)]
    if not files:
        raise FileNotFoundError(f"there is no JSON file of VoTT in {path}")
    return files


def _state(value: Any) -> Any:
    asset = value.get("asset") if isinstance(value, Mapping) else None
    return asset.get("state") if isinstance(asset, Mapping) else None


def _polylines(value: Any) -> int:
    regions = value.get("regions") if isinstance(value, Mapping) else None
    listed = regions if isinstance(regions, list) else []
    return sum(isinstance(r, Mapping) and r.get("type") == POLYLINE for r in listed)
