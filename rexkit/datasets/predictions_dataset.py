"""Predictions of a model as annotations, for people who correct them and for training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.annotation_records import to_record
from rexkit.formats.json_lines import JsonLinesFile
from rexkit.formats.predictions import PREDICTIONS, PredictionRecord
from rexkit.phrases import clean_phrase
from rexkit.registry import DATASETS


@DATASETS.register_module()
class PredictionsDataset(RowDataset):
    """The records of ``rexkit predict`` or ``rexkit test``, or the public ``answer.jsonl``.

    Instances have the score of their prediction; those whose phrase is none, as of a response that
    names nothing, are left out. Phrases that were asked for and not found are absent.

    Args:
        ann_file: the records, or the folder of their ``predictions.jsonl``.
        image_dir: the folder that paths of images are relative to; left out, the current one.
        options: ``on_error`` and the others of `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: there are no records. Whatever is wrong with one is raised when it is
            read, as is the error of an image that could not be predicted.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[RowOptions],
    ):
        path = Path(ann_file)
        self._file = JsonLinesFile(path / PREDICTIONS if path.is_dir() else path)
        self._image_dir = Path(image_dir or "")
        super().__init__(len(self._file), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._file.location(row)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        record = PredictionRecord.from_dict(self._file.value(row), folder=self._file.path.parent)
        if record.prediction is None:
            raise DataError(f"the image could not be predicted: {record.error}")
        if record.image_path is None:
            raise DataError(
                f"{record.source} has no file of its own, so there is nothing to annotate; predict "
                "for files of images"
            )
        found = record.prediction
        named = [i for i in found.instances if _is_phrase(i.phrase)]
        absent = [phrase for phrase in found.absent if _is_phrase(phrase)]
        width, height = found.image_size
        fields = to_record(replace(found, instances=named, absent=absent))
        path = self._image_dir / record.image_path
        return {"width": width, "height": height, **fields}, path

    def common_folder(self) -> Path | None:
        """Return the folder that holds the files of all records; None where there is none."""
        values = map(self._file.value, range(len(self._file)))
        names = {row.get("image_path") for row in values if isinstance(row, Mapping)}
        folders = {os.path.dirname(name) for name in names if isinstance(name, str)}
        try:
            return self._image_dir / os.path.commonpath(folders)
        except ValueError:  # none at all, or some of them absolute
            return None


def _is_phrase(text: str) -> bool:
    try:
        clean_phrase(text)
    except DataError:
        return False
    return True
