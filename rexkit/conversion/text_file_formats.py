"""Formats of texts in images, with a text file for each image: ICDAR and Total-Text."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rexkit.conversion.data_format import (
    DEEP,
    DataFormat,
    SourceSplit,
    Writer,
    first_files,
    label_names,
    split_folders,
)
from rexkit.conversion.features import attributes_of
from rexkit.conversion.rows import RowFile
from rexkit.datasets import IcdarDataset
from rexkit.formats.icdar import (
    ILLEGIBLE,
    UNREAD,
    has_scripts,
    text_outline,
    to_icdar,
    to_total_text,
)
from rexkit.registry import FORMATS
from rexkit.structures import Annotation, Instance

_PHRASE = "word"
"""What `IcdarDataset` calls every text."""


class _TextFiles(DataFormat):
    """What is common to formats whose files are those that `IcdarDataset` reads."""

    options = frozenset({"orientation"})
    prefix: ClassVar[str]

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        return next((str(file) for file in self._first(path)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits by folders such as "train", or the only one."""
        texts = path / "annotations"
        if not texts.is_dir():
            texts = next((file.parent for file in self._first(path)), path)
            texts = path if texts.parent == path and texts.name in split_folders(path) else texts
        splits = {}
        for split, folder in split_folders(texts).items():
            places = (path / "images" / split, path / "images", folder)
            root = images or next(place for place in places if place.is_dir())
            dataset = IcdarDataset(folder, root, prefix=self.prefix, **options)
            splits[split] = SourceSplit(dataset, root)
        return splits

    def _first(self, path: Path) -> list[Path]:
        if path.is_file():
            return []
        return first_files(path, *(f"{folder}{self.prefix}*.txt" for folder in (*DEEP, "*/*/*/")))


@FORMATS.register_module("totaltext")
class TotalTextFormat(_TextFiles):
    """Total-Text: ``poly_gt_NAME.txt`` for each image, with polygons."""

    prefix = "poly_gt_"

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return TotalTextWriter(folder, splits)


@FORMATS.register_module("icdar")
class IcdarFormat(_TextFiles):
    """Text files of the Robust Reading Competition: ``gt_NAME.txt`` for each image."""

    prefix = "gt_"

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return IcdarWriter(folder, splits)


class _TextWriter(Writer):
    """Writes ``annotations/SPLIT`` and ``images/SPLIT``: a text file for each image.

    What has no transcription is no text, and is left out; where it is ignored, it is a text that
    cannot be read.
    """

    holds = frozenset({"polygons", "texts", "ignored instances"})
    replaces: ClassVar[Mapping[str, str]] = {
        "boxes": "their corners, as polygons",
        "masks": "the polygon or box of the text, or their outline as one polygon",
        "texts": "not read, since ignored, or spelled as the mark of a text that is",
        "phrases": f"{_PHRASE!r}, which is what every text is called",
    }
    left_out = "neither a text nor ignored, or without an outline"
    prefix: ClassVar[str]
    marks: ClassVar[tuple[str, ...]] = (ILLEGIBLE,)

    @abstractmethod
    def kept_attributes(self, annotation: Annotation) -> set[str]:
        """Return the fields of instances that are stored."""

    @abstractmethod
    def text(self, annotation: Annotation) -> str:
        """Return the content of an image's file."""

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count phrases, and texts and attributes that are not stored, too."""
        counts = super().losses(annotation)
        stored = [*filter(self.stores, annotation.instances)]
        counts["phrases"] = sum(i.phrase != _PHRASE for i in stored)
        counts["texts"] = sum(
            i.text not in (ILLEGIBLE, UNREAD) if i.ignore else i.text in self.marks
            for i in annotation.instances
            if i.text is not None
        )
        kept = self.kept_attributes(annotation)
        counts["attributes"] = sum(
            bool(attributes_of(i).keys() - (kept if self.stores(i) else set()))
            for i in annotation.instances
        )
        return +counts

    def stores(self, instance: Instance) -> bool:
        """Return whether an instance is a text with an outline."""
        return text_outline(instance) is not None

    def write(self, rows: RowFile) -> None:
        """Write the text files."""
        names = label_names(rows)
        for row in rows:
            name = Path(names[row.key])
            path = self.folder / "annotations" / row.split / name.parent
            path.mkdir(parents=True, exist_ok=True)
            text = self.text(row.annotation)
            (path / f"{self.prefix}{name.name}.txt").write_text(text, "utf-8")


class IcdarWriter(_TextWriter):
    """Writes the form of ICDAR 2015, of MLT for texts with scripts, of CTW1500 for polygons."""

    prefix = "gt_"

    def kept_attributes(self, annotation: Annotation) -> set[str]:
        """Return the script, where every text of the image has one."""
        return {"script"} if has_scripts(annotation) else set()

    def text(self, annotation: Annotation) -> str:
        """Return the content of an image's file."""
        return to_icdar(annotation)


class TotalTextWriter(_TextWriter):
    """Writes the form of Total-Text."""

    prefix, marks = "poly_gt_", (ILLEGIBLE, UNREAD)

    def kept_attributes(self, annotation: Annotation) -> set[str]:
        """Return the orientation."""
        return {"ornt"}

    def text(self, annotation: Annotation) -> str:
        """Return the content of an image's file."""
        return to_total_text(annotation)
