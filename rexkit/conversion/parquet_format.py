"""Parquet files with images in them, as the `datasets` library reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, first_files
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import ParquetDataset
from rexkit.formats.images import read_image
from rexkit.formats.parquet import is_parquet, to_row, write_rows
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file

_PLACES = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
_SHARD = re.compile(r"(.+?)-\d+(-of-\d+.*)?")
_GROUP, _GROUP_BYTES = 64, 2**28
"""The most rows, and about the most bytes, of a row group that is written."""


@FORMATS.register_module("parquet")
class ParquetFormat(DataFormat):
    """Parquet files as on the hub: ``data/train-00000-of-00001.parquet``, images in them."""

    options = frozenset({"box_format", "coordinates", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, *_PLACES)
        return next((str(f) for f in files if f.suffix == ".parquet" and is_parquet(f)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for the files of each name; of a single one, that without a name."""
        found = [path] if path.is_file() else [f for p in _PLACES for f in sorted(path.glob(p))]
        files: dict[str, list[Path]] = {}
        for file in found:
            files.setdefault(_split_name(file), []).append(file)
        if not files:
            raise FileNotFoundError(f"there is no file *.parquet in {path}")
        root = images or (path if path.is_dir() else path.parent)
        splits = {
            split: SourceSplit(ParquetDataset(shards, root, **options), root)
            for split, shards in files.items()
        }
        return {"": next(iter(splits.values()))} if len(splits) == 1 else splits

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return ParquetWriter(folder, splits)


class ParquetWriter(Writer):
    """Writes ``data/SPLIT-00000-of-00001.parquet``, without splits ``train``, images in it.

    What is ignored is in a column of its own, since others would train on it.
    """

    holds = FEATURES
    copies_images = False

    def write(self, rows: RowFile) -> None:
        """Write a file for each split."""
        folder = self.folder / "data"
        folder.mkdir(exist_ok=True)
        for split in self.splits:
            with whole_file(folder / f"{split or 'train'}-00000-of-00001.parquet") as out:
                write_rows(out, _batches(rows, split))


def _batches(rows: RowFile, split: str) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        if row.split == split:
            encoded = read_image(row.image)
            batch.append(to_row(row.annotation, encoded, row.name))
            size += len(encoded)
            if len(batch) == _GROUP or size > _GROUP_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _split_name(file: Path) -> str:
    """Return "train" of ``train-00000-of-00001.parquet`` and of ``train/0000.parquet``."""
    found = _SHARD.fullmatch(file.stem)
    name = found[1] if found else file.stem
    return file.parent.name if name.isdigit() else name
