"""Formats of annotation records, which hold everything: JSON Lines and TSV files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    by_split,
    first_row,
    image_root,
)
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import JsonlDataset, TSVDataset
from rexkit.formats.annotation_records import LISTS, to_record
from rexkit.formats.images import decode_image, image_bytes_to_store, read_image
from rexkit.formats.json_lines import json_text
from rexkit.formats.tsv import TSVWriter
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file


@FORMATS.register_module("jsonl")
class JsonlFormat(DataFormat):
    """JSON Lines of annotation records, the format that holds everything."""

    options = frozenset({"box_format", "coordinates", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return what shows it."""
        for file in [path] if path.is_file() else sorted(path.glob("*.jsonl")):
            row = first_row(file)
            if row is not None and row.keys() & {"image", "image_name"}:
                record = row.get("annotation", row)
                if isinstance(record, Mapping) and any(name in record for name in LISTS):
                    return f"the keys of the first row of {file}"
        return None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file; of a single one, that without a name."""
        files = {"": path} if path.is_file() else {f.stem: f for f in sorted(path.glob("*.jsonl"))}
        splits = {}
        for split, file in by_split(files).items():
            root = image_root(file.parent, split, images) if path.is_dir() else file.parent
            dataset = JsonlDataset(file, images, **options)
            splits[split] = SourceSplit(dataset, images or root)
        return splits

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return JsonlWriter(folder, splits)


class JsonlWriter(Writer):
    """Writes ``SPLIT.jsonl`` and ``images/SPLIT``; without splits, ``annotations.jsonl``."""

    holds = FEATURES

    def write(self, rows: RowFile) -> None:
        """Write a file for each split."""
        for split in self.splits:
            with whole_file(self.folder / f"{split or 'annotations'}.jsonl") as out:
                for row in rows:
                    if row.split == split:
                        width, height = row.annotation.image_size
                        fields = {
                            "image": self.image_file(row.name, split).as_posix(),
                            "width": width,
                            "height": height,
                            **to_record(row.annotation),
                        }
                        out.write(f"{json_text(fields)}\n".encode())


@FORMATS.register_module("rexomni-tsv")
class RexOmniTSVFormat(DataFormat):
    """The TSV files of the public Rex-Omni fine-tuning code."""

    options = frozenset({"box_format", "coordinates", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        return next((str(file) for file in _annotation_files(path).values()), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each annotation file."""
        return {
            split: SourceSplit(
                TSVDataset(_sibling(file, "images"), file, f"{file}.lineidx", **options)
            )
            for split, file in by_split(_annotation_files(path)).items()
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return RexOmniTSVWriter(folder, splits)


class RexOmniTSVWriter(Writer):
    """Writes ``SPLIT.images.tsv``, ``SPLIT.annotations.tsv`` and its index."""

    holds = FEATURES
    copies_images = False

    def write(self, rows: RowFile) -> None:
        """Write three files for each split."""
        for split in self.splits:
            stem = self.folder / (split or "data")
            images, annotations = f"{stem}.images.tsv", f"{stem}.annotations.tsv"
            with ExitStack() as stack:
                writer = stack.enter_context(
                    TSVWriter(Path(images), Path(annotations), Path(f"{annotations}.lineidx"))
                )
                for row in rows:
                    if row.split == split:
                        encoded = read_image(row.image)
                        stored = image_bytes_to_store(encoded, decode_image(encoded))
                        writer.write(stored, to_record(row.annotation))
                writer.commit()


def _annotation_files(path: Path) -> dict[str, Path]:
    end = ".annotations.tsv"
    files = [path] if path.is_file() and path.name.endswith(end) else sorted(path.glob(f"*{end}"))
    return {f.name.removesuffix(end): f for f in files if _sibling(f, "images").is_file()}


def _sibling(file: Path, part: str) -> Path:
    return file.with_name(f"{file.name.removesuffix('.annotations.tsv')}.{part}.tsv")
