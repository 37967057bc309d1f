"""COCO and LVIS JSON, and the folders of Roboflow's exports."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, by_split, first_files
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import ConvertedRow, RowFile
from rexkit.datasets import CocoDataset, LvisDataset
from rexkit.datasets.coco_dataset import NAMES_OF_FILE
from rexkit.formats.coco import is_coco, to_coco_annotation
from rexkit.formats.json_lists import object_of_lists
from rexkit.formats.lvis import is_lvis
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file

_ROBOFLOW = "_annotations.coco.json"
_PREFIX = re.compile(r"(instances|person_keypoints|lvis(_v[0-9.]+)?)_")
"""What the names of COCO's and LVIS's files have before the split."""
_PLACES = ("*.json", "annotations/*.json", "instances_*.json", "annotations/instances_*.json")
"""Where files of either are; those of instances may come after many others."""


class _CocoFiles(DataFormat):
    """What is common to formats whose files are COCO JSON."""

    options = frozenset({"box_format", "coordinates", "exhaustive", "orientation"})

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits: a file of each, or the only one."""
        files = {"": path} if path.is_file() else self._files(path)
        if not files:
            raise FileNotFoundError(f"there is no COCO JSON in {path}")
        return {
            split: self._split(file, images, **options) for split, file in by_split(files).items()
        }

    def _files(self, path: Path) -> dict[str, Path]:
        """Return the files of a folder, by their splits."""
        found = [*path.glob("*.json"), *path.glob("annotations/*.json")]
        # COCO has several files of each split; those of instances count, unless one is named.
        last = sorted(found, key=lambda file: (file.stem.startswith("instances_"), file))
        own = {_split_name(file): file for file in last if self._is_own(file)}
        return dict(sorted(own.items()))

    def _is_own(self, file: Path) -> bool:
        is_of_captions = file.stem.startswith("captions_")
        return is_coco(file) and not is_of_captions and not is_lvis(file)

    def _split(self, file: Path, images: Path | None, **options: Any) -> SourceSplit:
        dataset = CocoDataset(
            file, images or _image_folder(file), keypoints=NAMES_OF_FILE, **options
        )
        return SourceSplit(dataset, images or _image_folder(file))


@FORMATS.register_module("roboflow")
class RoboflowFormat(_CocoFiles):
    """Roboflow's COCO exports: ``train/_annotations.coco.json`` beside the images."""

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        return next((str(file) for file in self._files(path).values()), None)

    def _files(self, path: Path) -> dict[str, Path]:
        found = [path / _ROBOFLOW, *sorted(path.glob(f"*/{_ROBOFLOW}"))]
        return {file.parent.name: file for file in found if file.is_file()}

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return RoboflowWriter(folder, splits)


@FORMATS.register_module("lvis")
class LvisFormat(_CocoFiles):
    """LVIS JSON: COCO JSON with the categories that are known not to be in an image."""

    options = frozenset({"orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, *_PLACES)
        return next((f"neg_category_ids in {file}" for file in files if self._is_own(file)), None)

    def _is_own(self, file: Path) -> bool:
        return file.suffix == ".json" and is_coco(file) and is_lvis(file)

    def _split(self, file: Path, images: Path | None, **options: Any) -> SourceSplit:
        folder = images or _image_folder(file)
        return SourceSplit(LvisDataset(file, folder, **options), folder)

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return LvisWriter(folder, splits)


@FORMATS.register_module("coco")
class CocoFormat(_CocoFiles):
    """COCO JSON: a file with "images", "annotations" and "categories" for each split."""

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        if path.is_file():
            return "its keys" if path.suffix == ".json" and self._is_own(path) else None
        files = first_files(path, *_PLACES)
        return next((f"the keys of {file}" for file in files if self._is_own(file)), None)

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return CocoWriter(folder, splits)


class CocoWriter(Writer):
    """Writes ``annotations/instances_SPLIT.json`` and ``images/SPLIT``.

    Texts, scores and other fields are fields of an annotation. Where an instance has no box, the
    box around it is written, since COCO's annotations always have one.
    """

    holds = frozenset(FEATURES - {"points", "absent phrases", "image attributes"})
    negatives = False

    def annotation_file(self, split: str) -> Path:
        """Return where the annotations of a split go."""
        return self.folder / "annotations" / f"instances_{split or 'default'}.json"

    def file_name(self, row: ConvertedRow) -> str:
        """Return what ``file_name`` says of an image, relative to the folder of its split."""
        return row.name

    def write(self, rows: RowFile) -> None:
        """Write a file for each split, with the same categories."""
        keypoints: dict[str, dict[str, None]] = defaultdict(dict)
        phrases: dict[str, int] = {}
        for row in rows:
            for phrase in row.annotation.phrases:
                phrases.setdefault(phrase, len(phrases) + 1)
            for instance in row.annotation.instances:
                keypoints[instance.phrase].update(dict.fromkeys(instance.keypoints or {}))
        categories = [
            {"id": number, "name": phrase}
            | ({"keypoints": [*names], "skeleton": []} if (names := keypoints.get(phrase)) else {})
            for phrase, number in phrases.items()
        ]
        for split in self.splits:
            file = self.annotation_file(split)
            file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as out:
                for part in object_of_lists(
                    images=self._images(rows, split, phrases),
                    annotations=self._annotations(rows, split, phrases, keypoints),
                    categories=iter(categories),
                ):
                    out.write(part.encode())

    def _images(self, rows: RowFile, split: str, ids: dict[str, int]) -> Iterator[dict[str, Any]]:
        for number, row in enumerate((row for row in rows if row.split == split), 1):
            width, height = row.annotation.image_size
            image = {"id": number, "file_name": self.file_name(row)}
            image |= {"width": width, "height": height}
            if self.negatives:
                image["neg_category_ids"] = [ids[phrase] for phrase in row.annotation.absent]
                image["not_exhaustive_category_ids"] = sorted(
                    {
                        ids[i.phrase]
                        for i in row.annotation.instances
                        if i.extra.get("not_exhaustive")
                    }
                )
            yield image

    def _annotations(
        self,
        rows: RowFile,
        split: str,
        ids: dict[str, int],
        keypoints: dict[str, dict[str, None]],
    ) -> Iterator[dict[str, Any]]:
        number = 0
        for image, row in enumerate((row for row in rows if row.split == split), 1):
            for instance in row.annotation.instances:
                names = [*keypoints.get(instance.phrase, ())]
                fields = to_coco_annotation(instance, names)
                if fields is not None:
                    number += 1
                    known = {"image_id": image, "category_id": ids[instance.phrase]}
                    yield {"id": number, **known, **fields}


class LvisWriter(CocoWriter):
    """Writes LVIS JSON: as COCO's, with ``neg_category_ids`` for absent phrases."""

    holds = frozenset(FEATURES - {"points", "keypoints", "hidden keypoints", "image attributes"})
    negatives = True

    def annotation_file(self, split: str) -> Path:
        """Return where the annotations of a split go."""
        return self.folder / "annotations" / f"lvis_{split or 'default'}.json"


class RoboflowWriter(CocoWriter):
    """Writes ``SPLIT/_annotations.coco.json`` beside the images; without splits, ``train``."""

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes."""
        return Path(split or "train", name)

    def annotation_file(self, split: str) -> Path:
        """Return where the annotations of a split go."""
        return self.folder / (split or "train") / _ROBOFLOW


def _split_name(file: Path) -> str:
    return _PREFIX.sub("", file.stem)


def _image_folder(file: Path) -> Path:
    """Return the folder of the images of a COCO file: the first in which its first image is."""
    split = _split_name(file)
    holder = file.parent.parent if file.parent.name == "annotations" else file.parent
    names = (split, f"images/{split}", f"train/{split}", "images", "JPEGImages", "")
    folders = [holder / name for name in names]
    first = next(iter(CocoDataset(file, holder).file_names()), "")
    return next((folder for folder in folders if first and (folder / first).is_file()), holder)
