"""CVAT for images 1.1: one XML file, with subsets for splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # to build XML

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, first_files
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import CvatDataset
from rexkit.formats.cvat import to_cvat_image
from rexkit.formats.cvat_files import CvatLabels, is_cvat
from rexkit.formats.json_lines import json_text
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file, write_whole

_SPLITS = {"Train": "train", "Validation": "val", "Test": "test"}
"""What the splits are called that CVAT offers as subsets."""


@FORMATS.register_module("cvat")
class CvatFormat(DataFormat):
    """CVAT for images 1.1: ``annotations.xml`` and ``images``."""

    options = frozenset({"orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, "*.xml", "*/*.xml")
        return next((f"<annotations> in {file}" for file in files if is_cvat(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each subset, or the only one."""
        dataset = CvatDataset(path, images, **options)
        folder = path if path.is_dir() else path.parent
        root = images or (own if (own := folder / "images").is_dir() else folder)
        if len(dataset.subsets) < 2:
            own = root / next(iter(dataset.subsets), "")
            return {"": SourceSplit(dataset, own if own.is_dir() else root)}
        return {
            _SPLITS.get(subset, subset): SourceSplit(
                CvatDataset(path, images, subset, **options),
                own if (own := root / subset).is_dir() else root,
            )
            for subset in dataset.subsets
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return CvatWriter(folder, splits)


class CvatWriter(Writer):
    """Writes ``annotations.xml``, ``images``, and ``labels.json`` for the labels of a task.

    Splits are the subsets of a project. Shapes that a model predicted are of the source "auto".
    """

    holds = FEATURES

    def survey(self, rows: RowFile) -> None:
        """Find the labels and their attributes."""
        self._labels = CvatLabels()
        for row in rows:
            self._labels.add(row.annotation)

    def write(self, rows: RowFile) -> None:
        """Write the annotations, an image at a time, and the labels."""
        source = "auto" if self.predicted else "manual"
        with whole_file(self.folder / "annotations.xml") as out:
            out.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            out.write(b"<version>1.1</version>\n")
            out.write(_xml(self._labels.meta(self.splits, len(rows))))
            for number, row in enumerate(rows):
                image = to_cvat_image(row.annotation, number, row.name, row.split, source)
                out.write(_xml(image))
            out.write(b"</annotations>\n")
        labels = json_text(self._labels.constructor(), indent=2)
        write_whole(self.folder / "labels.json", labels + "\n")


def _xml(element: ET.Element) -> bytes:
    ET.indent(element)
    return ET.tostring(element, encoding="unicode").encode() + b"\n"
