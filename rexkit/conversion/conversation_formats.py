"""Conversations about images: ms-swift's grounding rows, and sharegpt with Rex-Omni's answers."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    by_split,
    first_files,
    image_root,
)
from rexkit.conversion.rows import RowFile
from rexkit.datasets import RowDataset, ShareGptDataset, SwiftDataset
from rexkit.formats import sharegpt, swift
from rexkit.formats.conversations import first_keys
from rexkit.formats.json_lines import json_text
from rexkit.registry import FORMATS
from rexkit.structures import Annotation, Instance
from rexkit.whole_files import whole_file, write_whole

_MESSAGES = {"messages", "refs"}
"""The fields of ``Annotation.extra`` that are written where the messages are kept."""


class _Conversations(DataFormat):
    """What is common to formats whose rows are conversations."""

    options = frozenset({"orientation"})
    key: ClassVar[str]
    dataset: ClassVar[type[RowDataset]]

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, "*.jsonl", "*.json")
        return next((f"{self.key!r} in {file}" for file in files if self._is_own(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file; of a single one, that without a name."""
        found = [path] if path.is_file() else sorted([*path.glob("*.jsonl"), *path.glob("*.json")])
        files = {file.stem: file for file in found if path.is_file() or self._is_own(file)}
        if not files:
            raise FileNotFoundError(f"there is no file with {self.key!r} in {path}")
        return {
            split: SourceSplit(
                self.dataset(file, images, **options),  # type: ignore[call-arg,arg-type]
                image_root(file.parent, split, images),
            )
            for split, file in by_split(files).items()
        }

    def _is_own(self, file: Path) -> bool:
        return self.key in first_keys(file)


@FORMATS.register_module("swift")
class SwiftFormat(_Conversations):
    """ms-swift's rows of messages, with ``objects`` for ``<ref-object>`` and ``<bbox>``."""

    key, dataset = "messages", SwiftDataset

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return SwiftWriter(folder, splits)


@FORMATS.register_module("sharegpt")
class ShareGptFormat(_Conversations):
    """sharegpt's rows of conversations, with answers in Rex-Omni's grammar."""

    key, dataset = "conversations", ShareGptDataset

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return ShareGptWriter(folder, splits)


class _ConversationWriter(Writer):
    """What is common to their writers."""

    left_out = "ignored, or without an extent"

    @abstractmethod
    def row(self, annotation: Annotation, image: str) -> dict[str, Any] | None:
        """Return a row, None where there is nothing to ask."""

    @abstractmethod
    def keeps_messages(self, annotation: Annotation) -> bool:
        """Return whether the messages of the source are written as they are."""

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count images without a question, and fields of images that are kept less."""
        counts = super().losses(annotation)
        if self.keeps_messages(annotation):
            counts["image attributes"] = bool(annotation.extra.keys() - _MESSAGES)
        else:
            has_any = any(map(self.stores, annotation.instances)) or annotation.absent
            counts["images"] = not has_any
        return +counts

    def stores(self, instance: Instance) -> bool:
        """Return whether an instance has an extent or a point, and is not ignored."""
        return swift.geometry(instance) is not None

    def rows_of(self, rows: RowFile, split: str) -> Iterator[str]:
        """Yield the text of each row of a split."""
        for row in rows:
            if row.split == split:
                name = self.image_file(row.name, split).as_posix()
                fields = self.row(row.annotation, name)
                if fields is not None:
                    yield json_text(fields)


class SwiftWriter(_ConversationWriter):
    """Writes ``SPLIT.jsonl``, without splits ``train.jsonl``, and ``images/SPLIT``."""

    holds = frozenset({"boxes", "points", "absent phrases"})
    replaces: ClassVar[Mapping[str, str]] = {
        "points": "left out of instances that have a box",
        "polygons": "the box of the instance, or around them",
        "masks": "the box of the instance, or around them",
        "keypoints": "the box of the instance, or around them",
        "ignored instances": "left out; a conversation has no mark for them",
        "images": "without a phrase to ask for, so that no row names them",
    }

    def row(self, annotation: Annotation, image: str) -> dict[str, Any] | None:
        """Return a row, None where there is nothing to ask."""
        return swift.to_swift(annotation, image)

    def keeps_messages(self, annotation: Annotation) -> bool:
        """Return whether the messages of the source are written as they are."""
        return swift.keeps_messages(annotation)

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count points beside boxes, too."""
        counts = super().losses(annotation)
        pairs = ((i.point, i.bbox) for i in annotation.instances)
        counts["points"] = sum(p is not None and box is not None for p, box in pairs)
        return +counts

    def write(self, rows: RowFile) -> None:
        """Write a file for each split."""
        for split in self.splits:
            with whole_file(self.folder / f"{split or 'train'}.jsonl") as out:
                for text in self.rows_of(rows, split):
                    out.write(f"{text}\n".encode())


class ShareGptWriter(_ConversationWriter):
    """Writes ``SPLIT.json``, without splits ``train.json``, and ``images/SPLIT``.

    ``dataset_info.json`` is what LLaMA-Factory wants to know of them.
    """

    holds = frozenset({"absent phrases"})
    replaces: ClassVar[Mapping[str, str]] = {
        "boxes": "rounded to a thousandth of the image's sides",
        "points": "rounded likewise, or the box of the instance",
        "polygons": "rounded likewise, or the box of the instance",
        "masks": "the box of the instance, or around them",
        "keypoints": "the box of the instance, or around them",
        "ignored instances": "left out; a conversation has no mark for them",
        "images": "without a phrase to ask for, so that no row names them",
    }

    def row(self, annotation: Annotation, image: str) -> dict[str, Any] | None:
        """Return a row, None where there is nothing to ask."""
        return sharegpt.to_sharegpt(annotation, image)

    def keeps_messages(self, annotation: Annotation) -> bool:
        """Return whether the messages of the source are written as they are."""
        return sharegpt.keeps_messages(annotation)

    def write(self, rows: RowFile) -> None:
        """Write a file for each split, and what LLaMA-Factory reads of them."""
        columns = {"messages": "conversations", "images": "images"}
        info = {}
        for split in self.splits:
            name = f"{split or 'train'}.json"
            info[split or "train"] = {
                "file_name": name,
                "formatting": "sharegpt",
                "columns": columns,
            }
            with whole_file(self.folder / name) as out:
                opening = "[\n"
                for text in self.rows_of(rows, split):
                    out.write(f"{opening}{text}".encode())
                    opening = ",\n"
                out.write(b"[]\n" if opening == "[\n" else b"\n]\n")
        write_whole(self.folder / "dataset_info.json", json_text(info, indent=2) + "\n")
