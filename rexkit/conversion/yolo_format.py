"""YOLO data sets: ``data.yaml``, ``images`` and ``labels``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import yaml

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, label_names
from rexkit.conversion.features import Feature
from rexkit.conversion.rows import RowFile
from rexkit.datasets import YoloDataset
from rexkit.formats.mask_outlines import mask_polygon
from rexkit.formats.yolo import is_yolo_config, read_yolo_config, to_yolo
from rexkit.geometry import box_corners
from rexkit.registry import FORMATS
from rexkit.structures import Annotation, Instance
from rexkit.whole_files import write_whole


@FORMATS.register_module("yolo")
class YoloFormat(DataFormat):
    """YOLO, as Ultralytics and Roboflow lay it out; a folder with ``classes.txt`` is read too."""

    options = frozenset({"coordinates", "exhaustive", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        config = self._config(path)
        if config is not None:
            return f"names and splits in {config}"
        if path.is_dir() and any((path / name).is_file() for name in ("classes.txt", "obj.names")):
            return "the names of classes beside its files"
        return None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits of the YAML file, or the only one of a folder."""
        config = self._config(path)
        if config is None:
            folder = images or next(
                (path / name for name in ("images",) if (path / name).is_dir()), path
            )
            return {"": SourceSplit(YoloDataset(folder, **options), folder)}
        found = read_yolo_config(config)
        splits = {}
        for name, places in found.splits.items():
            dataset = YoloDataset(config, name, **options)
            root = places[0] if len(places) == 1 and places[0].is_dir() else config.parent
            splits[name] = SourceSplit(dataset, root)
        return splits

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return YoloWriter(folder, splits)

    def _config(self, path: Path) -> Path | None:
        if path.is_file():
            return path if path.suffix in (".yaml", ".yml") and is_yolo_config(path) else None
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        return next((file for file in files if is_yolo_config(file)), None)


class YoloWriter(Writer):
    """Writes ``data.yaml``, ``images/SPLIT`` and ``labels/SPLIT``.

    A data set with keypoints becomes boxes with keypoints, without outlines. One with outlines
    becomes polygons throughout, since YOLO's own reader takes the boxes alone where both are mixed.
    Ignored instances are left out: a label file has no mark for them, and they are not to be
    trained on.
    """

    holds: frozenset[Feature] = frozenset({"boxes", "polygons", "keypoints", "hidden keypoints"})
    replaces: ClassVar[Mapping[str, str]] = {
        "masks": "their outline as one polygon, without holes",
        "scores": "left out; a label file holds ground truth",
    }

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes."""
        return Path("images", split or "train", name)

    def survey(self, rows: RowFile) -> None:
        """Find the classes, the keypoints, and whether there are outlines."""
        self._phrases: dict[str, int] = {}
        self._keypoints: dict[str, None] = {}
        self._outlines = False
        for row in rows:
            for phrase in row.annotation.phrases:
                self._phrases.setdefault(phrase, len(self._phrases))
            for instance in row.annotation.instances:
                self._keypoints.update(dict.fromkeys(instance.keypoints or {}))
                self._outlines |= instance.polygon is not None or instance.mask is not None
        if self._keypoints:
            self.holds -= {"polygons"}

    def write(self, rows: RowFile) -> None:
        """Write a label file for each image, then the YAML file."""
        phrases, keypoints = self._phrases, [*self._keypoints]
        names = label_names(rows)
        for row in rows:
            annotation = _without_ignored(row.annotation)
            if self._outlines and not keypoints:
                annotation = replace(annotation, instances=[*map(_outlined, annotation.instances)])
            text = to_yolo(annotation, phrases, keypoints or None)
            path = self.folder / "labels" / (row.split or "train") / f"{names[row.key]}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        config: dict[str, Any] = {
            "path": ".",
            **{
                (split or "train"): str(PurePosixPath("images", split or "train"))
                for split in self.splits
            },
            "names": {number: phrase for phrase, number in phrases.items()},
        }
        if keypoints:
            config |= {"kpt_shape": [len(keypoints), 3], "kpt_names": {0: keypoints}}
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        write_whole(self.folder / "data.yaml", text)


def _without_ignored(annotation: Annotation) -> Annotation:
    return replace(annotation, instances=[i for i in annotation.instances if not i.ignore])


def _outlined(instance: Instance) -> Instance:
    """Return an instance with a polygon, where it has an outline or a box."""
    if instance.polygon is None and instance.mask is not None:
        return replace(instance, polygon=mask_polygon(instance.mask))
    if instance.polygon is None and instance.bbox is not None:
        return replace(instance, polygon=box_corners(instance.bbox))
    return instance
