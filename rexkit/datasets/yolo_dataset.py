"""YOLO data sets: a text file beside each image, and names in a YAML file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError, did_you_mean
from rexkit.formats.images import IMAGE_SUFFIXES
from rexkit.formats.yolo import label_file, read_names, read_yolo, read_yolo_config
from rexkit.registry import DATASETS


@DATASETS.register_module()
class YoloDataset(RowDataset):
    """One split of a YOLO data set, as Ultralytics and Roboflow lay it out; a row for each image.

    Label files of every form are read: boxes, polygons, rotated boxes (as polygons), and boxes with
    keypoints, which ``kpt_shape`` of the YAML file tells. A line with one number more has a
    confidence, ``Instance.score``. An image without a label file has no instances.

    Args:
        data: the YAML file, or a folder of images.
        split: "train", "val" or "test" of the YAML file; of no meaning for a folder.
        names: of the classes, for a folder: a list, or a file with a name on each line, such as
            ``classes.txt`` or ``obj.names``.
        label_dir: the folder of the label files, for a folder of images; left out, ``images`` in
            its path is replaced by ``labels``.
        exhaustive: whether every class was looked for in every image, so that those without an
            instance are known to be absent.
        options: as in `rexkit.datasets.row_dataset.RowDataset`. ``coordinates`` is "0-1".

    Raises:
        FileNotFoundError: a file or folder is missing.
        DataError: the YAML file has no such split, or no usable names. Whatever is wrong with a
            label file is raised when it is read.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        split: str = "train",
        names: Sequence[str] | str | os.PathLike[str] | None = None,
        label_dir: str | os.PathLike[str] | None = None,
        exhaustive: bool = False,
        **options: Unpack[RowOptions],
    ):
        path = Path(data)
        self.keypoints: list[str] = []
        self._dimensions = 3
        if path.is_dir():
            self.names = _names(path, names)
            places = [path]
        else:
            config = read_yolo_config(path)
            self.names, self.keypoints = config.names, config.keypoints
            self._dimensions = config.dimensions
            if split not in config.splits:
                raise DataError(
                    f"there is no split {split!r}; {did_you_mean(split, config.splits)}", str(path)
                )
            places = config.splits[split]
        self._label_dir = None if label_dir is None else Path(label_dir)
        self._exhaustive = exhaustive
        found = [(file, place) for place in places for file in _images(place)]
        if not found:
            raise FileNotFoundError(f"there are no images in {', '.join(map(str, places))}")
        self._images, self._roots = map(list, zip(*found, strict=True))
        options.setdefault("coordinates", "0-1")
        super().__init__(len(self._images), "cxcywh", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return str(self._labels(row))

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        try:
            text = self._labels(row).read_text("utf-8-sig")
        except FileNotFoundError:
            text = ""
        except UnicodeDecodeError as error:
            raise DataError("the label file is not text in UTF-8") from error
        entries = read_yolo(text, self.names, self.keypoints, self._dimensions)
        if self._exhaustive:
            present = {entry["phrase"] for entry in entries}
            absent = dict.fromkeys(name for name in self.names.values() if name not in present)
            entries += [{"phrase": name, "bbox": None} for name in absent]
        return {"boxes": entries}, self._images[row]

    def _labels(self, row: int) -> Path:
        image: Path = self._images[row]
        if self._label_dir is None:
            return label_file(image)
        return (self._label_dir / image.relative_to(self._roots[row])).with_suffix(".txt")


def _images(place: Path) -> Iterator[Path]:
    """Yield the images of a folder, or those that a text file lists, in order."""
    if place.is_dir():
        files = (Path(d) / f for d, _, names in os.walk(place) for f in names)
        yield from sorted(f for f in files if f.suffix.lower() in IMAGE_SUFFIXES)
        return
    for line in place.read_text("utf-8-sig").splitlines():
        if line.strip():
            yield place.parent / line.strip()


def _names(folder: Path, names: Sequence[str] | str | os.PathLike[str] | None) -> dict[int, str]:
    if isinstance(names, str | os.PathLike):
        lines = Path(names).read_text("utf-8-sig").splitlines()
        return dict(enumerate(line.strip() for line in lines if line.strip()))
    if names is not None:
        return read_names(list(names), "names")
    for holder in (folder, folder.parent, folder.parent.parent):
        for name in ("classes.txt", "obj.names"):
            if (holder / name).is_file():
                return _names(folder, holder / name)
    raise DataError(
        "nothing names the classes; set data to the YAML file, or names to a list or to a file "
        "such as classes.txt",
        str(folder),
    )
