"""ODVG data sets: JSON Lines of detections and of grounded captions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.datasets.row_dataset import RowOptions
from rexkit.errors import DataError
from rexkit.formats.odvg import read_label_map, read_odvg
from rexkit.registry import DATASETS


@DATASETS.register_module()
class OdvgDataset(JsonlDataset):
    """The JSON Lines of Open-GroundingDINO and mmdetection's Grounding DINO; a row for each line.

    Instances of ``detection`` have the phrase of their ``category``, or of their ``label`` in the
    label map; regions of ``grounding`` have theirs, and the caption is
    ``Annotation.extra["caption"]``.

    Args:
        ann_file: the file.
        image_dir: the folder that ``filename`` is relative to; left out, that of ``ann_file``.
        label_map: the JSON file of the labels' names; left out, ``label_map.json`` or the only
            ``*label_map*.json`` beside ``ann_file``, where there is one.
        exhaustive: whether every name of the label map was looked for in every image, so that those
            without an instance are known to be absent.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: ``ann_file`` or ``label_map`` is missing.
        DataError: one of them is of another format. Whatever is wrong with a row is raised when it
            is read.
    """

    image_keys: ClassVar[tuple[str, ...]] = ("filename",)

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        label_map: str | os.PathLike[str] | None = None,
        exhaustive: bool = False,
        **options: Unpack[RowOptions],
    ):
        found = _label_map(Path(ann_file)) if label_map is None else Path(label_map)
        self.label_map = {} if found is None else read_label_map(found)
        if exhaustive and not self.label_map:
            raise DataError("exhaustive=True needs a label_map, the names that are absent")
        self._exhaustive = exhaustive
        super().__init__(ann_file, image_dir, **options)

    def record(self, fields: Mapping[str, Any]) -> Any:
        """Return the annotation record in the fields of a row."""
        record = read_odvg(fields, self.label_map)
        if self._exhaustive:
            present = {entry["phrase"] for entry in record["instances"]}
            absent = [name for name in self.label_map.values() if name not in present]
            record["instances"] += [{"phrase": name, "bbox": None} for name in absent]
        return record


def _label_map(ann_file: Path) -> Path | None:
    """Return the label map beside a file, if there is one of them."""
    own = ann_file.with_name("label_map.json")
    likely = [own] if own.is_file() else [*ann_file.parent.glob("*label_map*.json")]
    return likely[0] if len(likely) == 1 else None
