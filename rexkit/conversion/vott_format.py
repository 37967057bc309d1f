"""VoTT: the export of a project for each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    first_files,
    image_root,
)
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import VottDataset
from rexkit.formats.json_lines import json_text
from rexkit.formats.vott import VERSION, is_vott_asset, is_vott_export, to_vott, vott_tags
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file

_END = "-export"


@FORMATS.register_module("vott")
class VottFormat(DataFormat):
    """VoTT JSON: ``NAME-export.json``, or ``ID-asset.json`` for each image."""

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, f"*{_END}.json", "vott-json-export/*.json", "*-asset.json")
        own = (f for f in files if f.suffix == ".json" and (is_vott_export(f) or is_vott_asset(f)))
        return next((f"the keys of {file}" for file in own), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each export; of a single one, and of assets, that without a name."""
        files = {file.stem.removesuffix(_END): file for file in self._exports(path)}
        if len(files) < 2:
            files = {"": next(iter(files.values()), path)}
        splits = {}
        for split, file in files.items():
            folder = file if file.is_dir() else file.parent
            dataset = VottDataset(file, images, **options)
            splits[split] = SourceSplit(dataset, image_root(folder, split, images))
        return splits

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return VottWriter(folder, splits)

    def _exports(self, path: Path) -> list[Path]:
        folders = [path, path / "vott-json-export"]
        found = [path] if path.is_file() else [f for d in folders for f in sorted(d.glob("*.json"))]
        return [file for file in found if file.suffix == ".json" and is_vott_export(file)]


class VottWriter(Writer):
    """Writes ``SPLIT-export.json`` and ``images/SPLIT``; no split is called "project"."""

    holds = FEATURES

    def survey(self, rows: RowFile) -> None:
        """Find the tags."""
        phrases = dict.fromkeys(phrase for row in rows for phrase in row.annotation.phrases)
        self._tags = vott_tags(phrases)

    def write(self, rows: RowFile) -> None:
        """Write an export for each split, an asset at a time."""
        for split in self.splits:
            name = split or "project"
            with whole_file(self.folder / f"{name}{_END}.json") as out:
                start = {"name": name, "version": VERSION, "tags": self._tags}
                out.write(f'{json_text(start)[:-1]}, "assets": {{'.encode())
                comma = ""
                for row in rows:
                    if row.split == split:
                        place = self.image_file(row.name, split).as_posix()
                        value = to_vott(row.annotation, place)
                        key = json_text(value["asset"]["id"])
                        out.write(f"{comma}\n{key}: {json_text(value)}".encode())
                        comma = ","
                out.write(b"\n}}\n")
