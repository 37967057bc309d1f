"""Formats with an annotation file beside each image: Pascal VOC and LabelMe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rexkit.conversion.data_format import (
    DEEP,
    SPLITS,
    DataFormat,
    SourceSplit,
    Writer,
    first_files,
    label_names,
    split_folders,
)
from rexkit.conversion.features import FEATURES, attributes_of
from rexkit.conversion.rows import RowFile
from rexkit.datasets import LabelMeDataset, VocDataset
from rexkit.errors import DataError
from rexkit.formats.json_lines import json_text, parse_json
from rexkit.formats.labelme import is_labelme, to_labelme
from rexkit.formats.voc import is_voc_field, parse_xml, to_voc
from rexkit.registry import FORMATS
from rexkit.structures import Annotation
from rexkit.whole_files import write_whole


@FORMATS.register_module("voc")
class VocFormat(DataFormat):
    """Pascal VOC: an XML file for each image."""

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        if not path.is_dir():
            return None
        for file in first_files(path, *(f"{folder}*.xml" for folder in DEEP)):
            try:
                parse_xml(file.read_bytes(), "annotation")
            except DataError:
                continue
            return f"<annotation> in {file}"
        return None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits of ``ImageSets/Main``, those of folders such as "train", or one."""
        lists = [path / "ImageSets" / "Main" / f"{split}.txt" for split in SPLITS]
        listed = [file.stem for file in lists if file.is_file()]
        if listed:
            pictures = path / "JPEGImages"
            return {
                split: SourceSplit(
                    VocDataset(path, images, split, **options),
                    images or (own if (own := pictures / split).is_dir() else pictures),
                )
                for split in listed
            }
        return {
            split: SourceSplit(VocDataset(folder, images, **options), images or _voc_images(folder))
            for split, folder in split_folders(path).items()
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return VocWriter(folder, splits)


class VocWriter(Writer):
    """Writes ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``, coordinates from 0."""

    holds = frozenset({"boxes", "polygons", "ignored instances", "attributes"})
    replaces: ClassVar[Mapping[str, str]] = {
        "masks": "the box around them",
        "attributes": "instances of which one is no text, number, object or list of several such",
    }

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count instances with attributes that XML has no place for, too."""
        counts = super().losses(annotation)
        for instance in annotation.instances:
            fields = attributes_of(instance).items()
            counts["attributes"] += not all(is_voc_field(*field) for field in fields)
        return +counts

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes; those of several splits are in folders of their own."""
        return Path("JPEGImages", split if len(self.splits) > 1 else "", name)

    def write(self, rows: RowFile) -> None:
        """Write an XML file for each image, and the lists of the splits."""
        names = label_names(rows)
        listed: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            name = Path(row.split if len(self.splits) > 1 else "", names[row.key])
            path = self.folder / "Annotations" / f"{name}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_voc(row.annotation, row.name), "utf-8")
            listed[row.split].append(name.as_posix())
        for split, lines in listed.items():
            if split:
                path = self.folder / "ImageSets" / "Main" / f"{split}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, "".join(f"{line}\n" for line in lines))


@FORMATS.register_module("labelme")
class LabelMeFormat(DataFormat):
    """LabelMe: a JSON file beside each image."""

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        if not path.is_dir():
            return None
        for file in first_files(path, *(f"{folder}*.json" for folder in DEEP)):
            try:
                if is_labelme(parse_json(file.read_bytes())):
                    return f"the shapes in {file}"
            except DataError:
                continue
        return None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits by folders such as "train", or the only one."""
        return {
            split: SourceSplit(LabelMeDataset(folder, images, **options), images or folder)
            for split, folder in split_folders(path).items()
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return LabelMeWriter(folder, splits)


class LabelMeWriter(Writer):
    """Writes a JSON file beside each image, in a folder for each split."""

    holds = frozenset(FEATURES - {"absent phrases", "image attributes"})

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes."""
        return Path(split, name)

    def write(self, rows: RowFile) -> None:
        """Write the JSON files."""
        names = label_names(rows)
        for row in rows:
            record = to_labelme(row.annotation, row.name.rpartition("/")[2])
            path = self.folder / row.split / f"{names[row.key]}.json"
            path.write_text(json_text(record, indent=2) + "\n", "utf-8")


def _voc_images(folder: Path) -> Path:
    return folder / "JPEGImages" if (folder / "JPEGImages").is_dir() else folder
