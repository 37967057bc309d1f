"""Data sets of conversations about images, of which the grounded part is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from rexkit.datasets.row_dataset import RowDataset, RowOptions
from rexkit.errors import DataError
from rexkit.formats.conversations import image_name, open_rows
from rexkit.formats.images import read_header
from rexkit.formats.sharegpt import read_sharegpt
from rexkit.formats.swift import read_swift
from rexkit.registry import DATASETS


class ConversationDataset(RowDataset):
    """What is common to them: rows of JSON Lines or of one JSON list, each with an image."""

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[RowOptions],
    ):
        self._file = open_rows(Path(ann_file))
        self._image_dir = self._file.path.parent if image_dir is None else Path(image_dir)
        options.setdefault("coordinates", "pixels")
        super().__init__(len(self._file), "xyxy", **options)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._file.location(row)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        fields = self._file.value(row)
        if not isinstance(fields, Mapping):
            raise DataError("a row must be a JSON object")
        image = self._image_dir / image_name(fields)
        return self.record(fields, image), image

    def record(self, fields: Mapping[str, Any], image: Path) -> Any:
        """Return the annotation record in the fields of a row."""
        raise NotImplementedError


@DATASETS.register_module()
class SwiftDataset(ConversationDataset):
    """ms-swift's rows of messages, whose ``objects`` are read; a sample for each row.

    A box belongs to the ``<ref-object>`` that the text relates it to, as
    `rexkit.formats.swift.relate` says; where that is not clear, the row is an error. A ``bbox`` of
    two numbers is a point. The messages are in ``Annotation.extra``; for tasks about them, there is
    `rexkit.datasets.ChatDataset`.

    Args:
        ann_file: the file, JSON Lines or one JSON list.
        image_dir: the folder that paths of images are relative to; left out, that of ``ann_file``.
        phrase: of boxes that the text relates to no reference, such as those of clicks.
        options: as in `rexkit.datasets.row_dataset.RowDataset`; what coordinates are is in
            ``objects.bbox_type``.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is no such file. Whatever is wrong with a row is raised when it is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        phrase: str | None = None,
        **options: Unpack[RowOptions],
    ):
        self._phrase = phrase
        super().__init__(ann_file, image_dir, **options)

    def record(self, fields: Mapping[str, Any], image: Path) -> Any:
        """Return the annotation record in the fields of a row."""
        return read_swift(fields, lambda: read_header(image)[0], self._phrase)


@DATASETS.register_module()
class ShareGptDataset(ConversationDataset):
    """sharegpt's rows of conversations, whose answers are in the Rex-Omni grammar.

    Instances and absent phrases are those that the answers name; answers in plain text name none.
    The messages are in ``Annotation.extra``; for tasks about them, there is
    `rexkit.datasets.ChatDataset`.

    Args:
        ann_file: the file, JSON Lines or one JSON list.
        image_dir: the folder that paths of images are relative to; left out, that of ``ann_file``.
        options: as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is no such file. Whatever is wrong with a row is raised when it is read.
    """

    def record(self, fields: Mapping[str, Any], image: Path) -> Any:
        """Return the annotation record in the fields of a row."""
        return read_sharegpt(fields, read_header(image)[0])
