"""The rows of a conversion: an image by its name, with its annotation; kept in a file meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rexkit.datasets.row_failures import RowFailures
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record, to_record
from rexkit.formats.json_lines import json_text
from rexkit.structures import Annotation


@dataclass
class ConvertedRow:
    """One image of a data set that is converted.

    Attributes:
        name: of its file, with its sub-folders: "kitchen/0001.jpg".
        split: "train", "val", …, or "" where the data set has no splits.
        annotation: in pixels of the upright image.
        image: the file that the source has of it, or that the target got.
    """

    name: str
    split: str
    annotation: Annotation
    image: Path

    @property
    def key(self) -> tuple[str, str]:
        """Its split and name, which no other row has."""
        return self.split, self.name

    def to_line(self) -> str:
        """Return the row as a line, without its end."""
        fields = {
            "name": self.name,
            "split": self.split,
            "size": self.annotation.image_size,
            "record": to_record(self.annotation),
            "image": str(self.image),
        }
        return json_text(fields)

    @classmethod
    def of_line(cls, line: str) -> ConvertedRow:
        """Return the row of a line."""
        fields: dict[str, Any] = json.loads(line)
        annotation = read_record(fields["record"], tuple(fields["size"]))
        return cls(fields["name"], fields["split"], annotation, Path(fields["image"]))


class RowFile:
    """The rows of a conversion in a file, a line each; lines of failures among them.

    Args:
        path: of the file.

    Attributes:
        failures: the errors of rows that could not be used.
    """

    def __init__(self, path: Path):
        self._path = path
        self._places: dict[tuple[str, str], list[int]] = {}
        self.failures = RowFailures()
        place = 0
        with path.open("rb") as lines:
            for line in lines:
                fields = json.loads(line)
                if "failed" in fields:
                    self.failures.add(DataError(*fields["failed"]))
                else:
                    key = (fields["split"], fields["name"])
                    self._places.setdefault(key, []).append(place)
                place += len(line)

    def __len__(self) -> int:
        return len(self._places)

    def names(self) -> Iterable[tuple[str, str]]:
        """Return the split and name of each image."""
        return self._places.keys()

    def __iter__(self) -> Iterator[ConvertedRow]:
        """Yield a row for each image; several of the source become one."""
        with self._path.open("rb") as file:
            for places in self._places.values():
                rows = []
                for place in places:
                    file.seek(place)
                    rows.append(ConvertedRow.of_line(file.readline().decode()))
                yield rows[0] if len(rows) == 1 else _merged(rows)


def failed_line(error: DataError) -> str:
    """Return the line of a row that could not be used."""
    return json_text({"failed": [error.reason, error.source, error.kind]})


def repair(path: Path) -> int:
    """Cut a half-written line off a file of rows, and return how many lines it has."""
    if not path.is_file():
        return 0
    whole = number = 0
    with path.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
                number += 1
        file.truncate(whole)
    return number


def _merged(rows: list[ConvertedRow]) -> ConvertedRow:
    instances = [instance for row in rows for instance in row.annotation.instances]
    present = {instance.phrase for instance in instances}
    absent = dict.fromkeys(p for row in rows for p in row.annotation.absent if p not in present)
    extra = {key: value for row in rows for key, value in row.annotation.extra.items()}
    annotation = Annotation(rows[0].annotation.image_size, instances, [*absent], extra=extra)
    return replace(rows[0], annotation=annotation)
