"""RefCOCO: referring expressions beside COCO's instances."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rexkit.conversion.data_format import DataFormat, SourceSplit, Writer, image_root
from rexkit.conversion.rows import ConvertedRow, RowFile
from rexkit.datasets import RefcocoDataset
from rexkit.errors import DataError
from rexkit.formats.coco import to_coco_annotation
from rexkit.formats.json_lines import json_text
from rexkit.formats.json_lists import object_of_lists
from rexkit.formats.refcoco import INSTANCES, Reference, find_refs, read_refs, to_ref
from rexkit.instances import HIDDEN_KEYPOINTS, extent
from rexkit.registry import FORMATS
from rexkit.structures import Annotation, Instance
from rexkit.whole_files import whole_file, write_whole

_SPLIT_BY = "unc"
"""Who made the splits, by the names of files that are written: what most readers ask for."""


_Objects = dict[int, list[Instance]]
"""The objects of an image by their numbers: an instance for each expression of an object."""


@FORMATS.register_module("refcoco")
class RefcocoFormat(DataFormat):
    """RefCOCO and its relatives, as REFER reads them: ``refs(unc).p`` and ``instances.json``."""

    options = frozenset({"orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        if path.is_file():
            is_own = path.with_name(INSTANCES).is_file() and "refs(" in path.name
            return f"{INSTANCES} beside it" if is_own else None
        try:
            return str(find_refs(path)) if (path / INSTANCES).is_file() else None
        except FileNotFoundError:
            return None
        except DataError as error:  # there are several; `open` says what to do
            return error.reason

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits that references name."""
        file = path if path.is_file() else find_refs(path)
        names = dict.fromkeys(reference.split for reference in read_refs(file, []))
        return {
            split: SourceSplit(
                RefcocoDataset(file, images, split, **options),
                image_root(file.parent, split, images),
            )
            for split in names
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return RefcocoWriter(folder, splits)


class RefcocoWriter(Writer):
    """Writes ``instances.json``, ``images/SPLIT`` and the references of all splits.

    Each phrase is an expression; instances of one id and box are one object. Where every expression
    is for one object, the references are REFER's ``refs(unc).p``; else, as for several objects of a
    category and for absent phrases, they are gRefCOCO's ``grefs(unc).json``.
    """

    holds = frozenset(
        {"boxes", "polygons", "masks", "texts", "scores", "attributes", "absent phrases"}
    )
    replaces: ClassVar[Mapping[str, str]] = {
        "keypoints": "the box of the object, or around them",
        "ignored instances": "left out; a reference has no mark for them",
        "images": "without an expression, so that no reference is to them",
    }
    left_out = "ignored, or without an extent"

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Count images without an expression, too."""
        counts = super().losses(annotation)
        stored = any(map(self.stores, annotation.instances))
        counts["images"] = not stored and not annotation.absent
        return +counts

    def stores(self, instance: Instance) -> bool:
        """Return whether an instance has an extent and is not ignored."""
        return not instance.ignore and to_coco_annotation(instance) is not None

    def survey(self, rows: RowFile) -> None:
        """Find the categories, and whether expressions are for one object each."""
        self._categories: dict[str, int] = {}
        self._of_several = False
        for _, row, objects in self._numbered(rows):
            for same in objects.values():
                self._categories.setdefault(_category(same[0]), len(self._categories) + 1)
            several = any(len(numbers) > 1 for numbers in _by_phrase(objects).values())
            self._of_several |= several or bool(row.annotation.absent)

    def write(self, rows: RowFile) -> None:
        """Write the two files."""
        with whole_file(self.folder / INSTANCES) as out:
            for part in object_of_lists(
                images=self._images(rows),
                annotations=self._annotations(rows),
                categories=({"id": n, "name": name} for name, n in self._categories.items()),
            ):
                out.write(part.encode())
        refs = [*self._references(rows)]
        if self._of_several:
            write_whole(self.folder / f"grefs({_SPLIT_BY}).json", json_text(refs) + "\n")
        else:
            write_whole(self.folder / f"refs({_SPLIT_BY}).p", pickle.dumps(refs, protocol=2))

    def _images(self, rows: RowFile) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows, 1):
            width, height = row.annotation.image_size
            yield {"id": number, "file_name": _file_name(row), "width": width, "height": height}

    def _numbered(self, rows: RowFile) -> Iterator[tuple[int, ConvertedRow, _Objects]]:
        """Yield the number of each image, and its objects by theirs."""
        number = 0
        for image, row in enumerate(rows, 1):
            objects: dict[Any, list[Instance]] = {}
            for instance in filter(self.stores, row.annotation.instances):
                known = None if "id" not in instance.extra else str(instance.extra["id"])
                key = (known or id(instance), *extent(instance).tolist())
                objects.setdefault(key, []).append(instance)
            yield image, row, dict(enumerate(objects.values(), number + 1))
            number += len(objects)

    def _annotations(self, rows: RowFile) -> Iterator[dict[str, Any]]:
        own = ("ref_id", "category", HIDDEN_KEYPOINTS)
        for image, _, objects in self._numbered(rows):
            for number, [instance, *_] in objects.items():
                extra = {name: v for name, v in instance.extra.items() if name not in own}
                fields = to_coco_annotation(replace(instance, keypoints=None, extra=extra)) or {}
                known = {"image_id": image, "category_id": self._categories[_category(instance)]}
                yield {**fields, "id": number, **known}

    def _references(self, rows: RowFile) -> Iterator[dict[str, Any]]:
        number = sentence = 0
        for image, row, objects in self._numbered(rows):
            groups: dict[Any, list[str]] = {}
            for phrase, numbers in _by_phrase(objects).items():
                groups.setdefault((*numbers,), []).append(phrase)
            found = [*groups.items(), *(((), [phrase]) for phrase in row.annotation.absent)]
            for numbers, phrases in found:
                split = row.split or "train"
                reference = Reference(number, image, numbers, (*phrases,), split)
                categories = [self._categories[_category(objects[n][0])] for n in numbers]
                yield to_ref(reference, _file_name(row), categories, sentence)
                number, sentence = number + 1, sentence + len(phrases)


def _by_phrase(objects: _Objects) -> dict[str, list[int]]:
    """Return the numbers of the objects that each phrase is for."""
    found: dict[str, list[int]] = {}
    for number, same in objects.items():
        for phrase in dict.fromkeys(instance.phrase for instance in same):
            found.setdefault(phrase, []).append(number)
    return found


def _category(instance: Instance) -> str:
    named = instance.extra.get("category")
    return named if isinstance(named, str) else instance.phrase


def _file_name(row: ConvertedRow) -> str:
    """Return the name of an image, relative to ``images``."""
    return f"{row.split}/{row.name}" if row.split else row.name
