"""ODVG: JSON Lines for each split, and a label map."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    by_split,
    first_files,
    image_root,
)
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import OdvgDataset
from rexkit.formats.json_lines import json_text
from rexkit.formats.odvg import is_odvg, to_odvg
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file, write_whole


@FORMATS.register_module("odvg")
class OdvgFormat(DataFormat):
    """ODVG, the JSON Lines of Grounding DINO's training codes."""

    options = frozenset({"box_format", "coordinates", "exhaustive", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, "*.jsonl", "*.json")
        return next((f"the keys of {file}" for file in files if _is_own(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file; of a single one, that without a name."""
        found = [path] if path.is_file() else sorted([*path.glob("*.jsonl"), *path.glob("*.json")])
        files = {file.stem: file for file in found if path.is_file() or _is_own(file)}
        if not files:
            raise FileNotFoundError(f"there is no file of ODVG in {path}")
        return {
            split: SourceSplit(
                OdvgDataset(file, images, **options), image_root(file.parent, split, images)
            )
            for split, file in by_split(files).items()
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return OdvgWriter(folder, splits)


class OdvgWriter(Writer):
    """Writes ``SPLIT.jsonl``, ``images/SPLIT`` and ``label_map.json``.

    A split of which every image has a caption (``extra["caption"]``) becomes grounding rows, any
    other one detection rows: readers take a file for one of them.
    """

    holds = frozenset(FEATURES - {"points"})

    def survey(self, rows: RowFile) -> None:
        """Find the phrases, and the splits that have captions throughout."""
        self._labels: dict[str, int] = {}
        captions: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for row in rows:
            for phrase in row.annotation.phrases:
                self._labels.setdefault(phrase, len(self._labels))
            sizes[row.split] += 1
            captions[row.split] += isinstance(row.annotation.extra.get("caption"), str)
        self._grounding = {split for split, number in sizes.items() if captions[split] == number}

    def write(self, rows: RowFile) -> None:
        """Write a file for each split, without splits ``annotations.jsonl``, and the label map."""
        for split in self.splits:
            grounding = split in self._grounding
            with whole_file(self.folder / f"{split or 'annotations'}.jsonl") as out:
                for row in rows:
                    if row.split == split:
                        name = self.image_file(row.name, split).as_posix()
                        fields = to_odvg(row.annotation, name, self._labels, grounding)
                        out.write(f"{json_text(fields)}\n".encode())
        if not self._grounding.issuperset(self.splits):
            names = {str(label): phrase for phrase, label in self._labels.items()}
            write_whole(self.folder / "label_map.json", json_text(names, indent=2) + "\n")


def _is_own(file: Path) -> bool:
    return file.suffix in (".json", ".jsonl") and is_odvg(file)
