"""A folder with one split of a data set, in TSV or COCO format."""

from __future__ import annotations

import os
from pathlib import Path

from rexkit.datasets.coco_dataset import CocoDataset
from rexkit.datasets.row_dataset import OnError, Orientation
from rexkit.datasets.tsv_dataset import TSVDataset
from rexkit.formats.coordinates import Coordinates, OnOutside
from rexkit.formats.images import Color
from rexkit.registry import DATASETS


@DATASETS.register_module("FolderDataset")
def folder_dataset(
    root: str | os.PathLike[str],
    split: str,
    exhaustive: bool = False,
    on_error: OnError = "raise",
    on_outside: OnOutside = "clamp",
    background: Color = "white",
    orientation: Orientation | None = None,
    coordinates: Coordinates | None = None,
    partial_index: bool = False,
) -> TSVDataset | CocoDataset:
    """Open one split of a folder that holds TSV files, or COCO JSON and images.

    ``SPLIT.images.tsv``, ``SPLIT.annotations.tsv`` and ``SPLIT.annotations.tsv.lineidx`` are opened
    as a `TSVDataset`; ``SPLIT.json`` with the images in ``SPLIT/`` as a `CocoDataset`. Where both
    are, the TSV files are taken.

    Args:
        root: the folder.
        split: the first part of the file names, such as "train".
        exhaustive: as in `CocoDataset`; TSV files name absent phrases themselves.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.
        orientation: "upright" or "stored", what coordinates refer to, as there.
        coordinates: "pixels", or the range of other coordinates, such as "0-1", as there.
        partial_index: as in `TSVDataset`.

    Raises:
        FileNotFoundError: the folder holds neither.
    """
    folder = Path(root)
    images, annotations = folder / f"{split}.images.tsv", folder / f"{split}.annotations.tsv"
    if images.is_file():
        return TSVDataset(
            images,
            annotations,
            f"{annotations}.lineidx",
            on_error=on_error,
            on_outside=on_outside,
            background=background,
            orientation=orientation,
            coordinates=coordinates,
            partial_index=partial_index,
        )
    if (folder / f"{split}.json").is_file():
        return CocoDataset(
            folder / f"{split}.json",
            folder / split,
            exhaustive,
            on_error=on_error,
            on_outside=on_outside,
            background=background,
            orientation=orientation,
            coordinates=coordinates,
        )
    raise FileNotFoundError(
        f"{folder} has neither {split}.images.tsv nor {split}.json; "
        "set the folder with --cfg-options data_root=…"
    )
