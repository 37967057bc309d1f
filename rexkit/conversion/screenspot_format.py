"""ScreenSpot: a JSON list of instructions for each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, by_split, first_files
from rexkit.conversion.rows import RowFile
from rexkit.datasets import ScreenspotDataset
from rexkit.datasets.screenspot_dataset import screenspot_images
from rexkit.formats.json_lines import json_text
from rexkit.formats.screenspot import is_screenspot, to_screenspot
from rexkit.instances import extent
from rexkit.registry import FORMATS
from rexkit.structures import Annotation, Instance
from rexkit.whole_files import whole_file

_PREFIX, _IMAGES = "screenspot_", "screenspot_imgs"
_PLACES = ("*.json", "annotations/*.json")


@FORMATS.register_module("screenspot")
class ScreenspotFormat(DataFormat):
    """ScreenSpot, v2 and Pro: ``screenspot_SPLIT.json`` beside ``screenspot_imgs``."""

    options = frozenset({"coordinates", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, *_PLACES)
        return next((f"the keys of {file}" for file in files if is_screenspot(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file; of a single one, that without a name."""
        found = [path] if path.is_file() else [f for p in _PLACES for f in sorted(path.glob(p))]
        files = {
            file.stem.removeprefix(_PREFIX): file
            for file in found
            if path.is_file() or is_screenspot(file)
        }
        if not files:
            raise FileNotFoundError(f"there is no file of ScreenSpot in {path}")
        splits = {}
        for split, file in by_split(files).items():
            root = images or screenspot_images(file)
            own = root / split
            dataset = ScreenspotDataset(file, root, **options)
            splits[split] = SourceSplit(dataset, own if own.is_dir() else root)
        return splits

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return ScreenspotWriter(folder, splits)


class ScreenspotWriter(Writer):
    """Writes ``screenspot_SPLIT.json``, a row for each box, and ``screenspot_imgs/SPLIT``.

    Without splits the file is ``screenspot_all.json``. The phrase is the instruction. What is
    ignored is left out, since every row is scored.
    """

    holds = frozenset({"boxes", "attributes"})
    replaces: ClassVar[Mapping[str, str]] = {
        "polygons": "the box of the instance, or around them",
        "masks": "the box of the instance, or around them",
        "keypoints": "the box of the instance, or around them",
        "ignored instances": "left out; every row is scored",
        "images": "without an instruction, so that no row names them",
    }
    left_out = "ignored, or without an extent"

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes."""
        return Path(_IMAGES, split, name)

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count images without an instruction, too."""
        counts = super().losses(annotation)
        counts["images"] = not any(map(self.stores, annotation.instances))
        return +counts

    def stores(self, instance: Instance) -> bool:
        """Return whether an instance has an extent and is not ignored."""
        x0, y0, x1, y1 = extent(instance).tolist()
        return not instance.ignore and (instance.bbox is not None or (x1 > x0 and y1 > y0))

    def write(self, rows: RowFile) -> None:
        """Write a file for each split."""
        for split in self.splits:
            with whole_file(self.folder / f"{_PREFIX}{split or 'all'}.json") as out:
                opening = "[\n"
                for row in rows:
                    if row.split == split:
                        name = Path(split, row.name).as_posix()
                        for instance in filter(self.stores, row.annotation.instances):
                            text = json_text(to_screenspot(instance, name))
                            out.write(f"{opening}{text}".encode())
                            opening = ",\n"
                out.write(b"[]\n" if opening == "[\n" else b"\n]\n")
