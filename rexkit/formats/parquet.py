"""Parquet files of images and objects, as the `datasets` library of Hugging Face lays them out.

A row has ``image``, bytes and a path, and ``objects``, their boxes and categories: the columns of
https://huggingface.co/docs/datasets/object_detection. rexkit adds what these have no place for:
``more`` for an object's other fields, and the columns ``ignored``, ``absent`` and ``extra``.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from rexkit.errors import DataError, UserError
from rexkit.formats.annotation_records import LISTS, to_record
from rexkit.formats.coordinates import short
from rexkit.formats.json_fields import phrases_field
from rexkit.formats.json_lines import json_text, parse_json
from rexkit.structures import Annotation

IMAGE, OBJECTS = "image", "objects"

_CATEGORY = ("category", "categories", "label", "labels")
_NAMED = ("categories", "visual_prompt")
"""Fields of ``extra`` that mean something in rexkit, and may be columns that mean another."""
_MAGIC = b"PAR1"
_VALUE = {name: {"dtype": name, "_type": "Value"} for name in ("string", "float64", "int64")}
_FEATURE = {
    "bbox": {"feature": _VALUE["float64"], "_type": "List"},
    "category": _VALUE["string"],
    "more": _VALUE["string"],
}
_FEATURES = {
    IMAGE: {"_type": "Image"},
    "width": _VALUE["int64"],
    "height": _VALUE["int64"],
    OBJECTS: {"feature": _FEATURE, "_type": "List"},
    "ignored": {"feature": _FEATURE, "_type": "List"},
    "absent": {"feature": _VALUE["string"], "_type": "List"},
    "extra": _VALUE["string"],
}
"""The columns that are written, as `datasets` describes them in the metadata of a file."""


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class ParquetFile:
    """A Parquet file of which any row can be read; one row group is in memory at a time.

    It can be pickled, and read by several threads and processes at once.

    Args:
        path: the file.

    Attributes:
        columns: their names.
        names: the names of the labels of each column of ``objects`` that has numbers for them.

    Raises:
        UserError: pyarrow is not installed.
        FileNotFoundError: the file is missing.
        DataError: it is no Parquet file.
    """

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        file = self._open()
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
        self._ends = [*accumulate(sizes)]
        self.columns: list[str] = file.schema_arrow.names
        self.names = _label_names(file.schema_arrow.metadata or {})
        self._tables: dict[tuple[str, ...] | None, tuple[int, Any]] = {}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": {}}

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a row, or some of its columns.

        Raises:
            DataError: it cannot be read.
        """
        group = bisect.bisect_right(self._ends, index)
        first = self._ends[group - 1] if group else 0
        key = None if columns is None else (*columns,)
        known = self._tables.get(key)
        table = known[1] if known and known[0] == group else self._read(group, columns)
        self._tables[key] = (group, table)
        [row] = table.slice(index - first, 1).to_pylist()
        return dict(row)

    def image_paths(self) -> list[str | None]:
        """Return the paths that the images of all rows have beside their bytes."""
        if IMAGE not in self.columns:
            return [None] * len(self)
        found: list[str | None] = []
        for group in range(len(self._ends)):
            column = self._read(group, [f"{IMAGE}.path"])
            for row in column.to_pylist():
                image = row.get(IMAGE)
                found.append(image.get("path") if isinstance(image, Mapping) else None)
        return found or [None] * len(self)

    def _read(self, group: int, columns: Sequence[str] | None) -> Any:
        try:
            listed = None if columns is None else [*columns]
            return self._open().read_row_group(group, columns=listed, use_threads=False)
        except (OSError, ValueError) as error:
            raise DataError(f"row group {group} cannot be read ({error})") from error

    def _open(self) -> Any:
        parquet = _parquet()
        try:  # no threads: they do not survive the fork of a data worker
            return parquet.ParquetFile(self.path, memory_map=True, pre_buffer=False)
        except (OSError, ValueError) as error:
            raise DataError(f"this is no Parquet file ({error})", str(self.path)) from error


def read_objects(
    row: Mapping[str, Any], names: Mapping[str, Sequence[str]], labels: Sequence[str] | None = None
) -> dict[str, Any]:
    """Convert a row to an annotation record.

    Args:
        row: with ``objects``, an object of lists or a list of objects: ``bbox`` and ``category``,
            "categories", "label" or "labels"; or with the lists of an annotation record. Other
            columns are in ``extra``.
        names: those of `ParquetFile`.
        labels: the names of labels that are numbers, where the file has none.

    Raises:
        DataError: the row has neither, or something in them cannot be used.
    """
    size = {side: row[side] for side in ("width", "height") if row.get(side) is not None}
    if OBJECTS not in row:
        if not any(name in row for name in LISTS):
            raise DataError(
                f"a row has {OBJECTS!r}, or a list of an annotation record ({', '.join(LISTS)}); "
                f"its columns are {list(row)}"
            )
        return {name: _without_nulls(value) for name, value in row.items() if name != IMAGE}
    entries = []
    for column in (OBJECTS, "ignored"):
        for number, item in enumerate(_items(row.get(column), column)):
            entry = _entry(item, f"{column}[{number}]", names, labels)
            entries.append(entry | ({"ignore": True} if column != OBJECTS else {}))
    entries += [{"phrase": phrase, "bbox": None} for phrase in phrases_field(row, "absent")]
    own = (IMAGE, OBJECTS, "width", "height", "ignored", "absent", "extra", *_NAMED)
    extra = {name: value for name, value in row.items() if name not in own and _is_json(value)}
    extra |= _parsed(row.get("extra"), "extra")
    return {**size, "instances": entries, **({"extra": extra} if extra else {})}


def to_row(annotation: Annotation, image: bytes, name: str) -> dict[str, Any]:
    """Return the row of an image.

    Args:
        annotation: in pixels.
        image: the bytes of its file.
        name: of the file.
    """
    listed: dict[str, list[dict[str, Any]]] = {OBJECTS: [], "ignored": []}
    for instance in annotation.instances:
        [entry] = next(iter(to_record(Annotation((1, 1), [instance])).values()))
        box = entry.pop("bbox", None)
        if box is not None:
            box = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        phrase, ignore = entry.pop("phrase"), entry.pop("ignore", False)
        more = json_text(entry) if entry else None
        listed["ignored" if ignore else OBJECTS].append(
            {"bbox": box, "category": phrase, "more": more}
        )
    width, height = annotation.image_size
    return {
        IMAGE: {"bytes": image, "path": name},
        "width": width,
        "height": height,
        **listed,
        "absent": [*annotation.absent],
        "extra": json_text(annotation.extra) if annotation.extra else None,
    }


def write_rows(file: Any, batches: Iterator[list[dict[str, Any]]]) -> None:
    """Write a Parquet file, a row group for each batch of rows of `to_row`.

    Args:
        file: open for writing bytes.
        batches: of rows.

    Raises:
        UserError: pyarrow is not installed.
    """
    parquet = _parquet()
    import pyarrow as pa

    entry = pa.list_(
        pa.struct(
            [("bbox", pa.list_(pa.float64())), ("category", pa.string()), ("more", pa.string())]
        )
    )
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = (image, pa.int64(), pa.int64(), entry, entry, pa.list_(pa.string()), pa.string())
    schema = pa.schema(
        [*zip(_FEATURES, types, strict=True)],
        metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=len(rows) or None)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("Parquet needs pyarrow: pip install 'rexkit[parquet]'") from error
    return pyarrow.parquet


def _label_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of labels that the metadata of `datasets` has, by the column of objects."""
    try:
        found: Any = json.loads(metadata.get(b"huggingface", b"{}"))
        objects = found.get("info", {}).get("features", {}).get(OBJECTS, {})
    except (ValueError, AttributeError):
        return {}
    if isinstance(objects, list):  # as old versions of the library write a list
        objects = objects[0] if objects else {}
    objects = objects.get("feature", objects) if isinstance(objects, Mapping) else {}
    names = {}
    for column, feature in objects.items():
        while isinstance(feature, Mapping) and "feature" in feature:
            feature = feature["feature"]
        if isinstance(feature, Mapping) and isinstance(feature.get("names"), list):
            names[column] = [str(name) for name in feature["names"]]
    return names


def _items(value: Any, column: str) -> list[dict[str, Any]]:
    """Return objects as a list, from that or from an object of lists."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        lists = {name: items for name, items in value.items() if isinstance(items, list)}
        sizes = {name: len(items) for name, items in lists.items()}
        if len({*sizes.values()}) > 1:
            raise DataError(f"the lists in {column} must have one length, they have {sizes}")
        number = next(iter(sizes.values()), 0)
        return [{name: items[i] for name, items in lists.items()} for i in range(number)]
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise DataError(f"{column} must be a list of objects, or an object of lists")
    return [dict(item) for item in value]


def _entry(
    item: dict[str, Any],
    place: str,
    names: Mapping[str, Sequence[str]],
    labels: Sequence[str] | None,
) -> dict[str, Any]:
    key = next((name for name in _CATEGORY if item.get(name) is not None), None)
    if key is None:
        raise DataError(f"{place} has none of {_CATEGORY}; it has {list(item)}")
    label, box = item.pop(key), item.pop("bbox", None)
    known = labels if labels is not None else names.get(key)
    if isinstance(label, int):
        if known is None:
            raise DataError(f"{place} has the label {label}, and the file no names: set labels")
        if not 0 <= label < len(known):
            raise DataError(f"{place} has the label {label}, and there are {len(known)} names")
        label = known[label]
    more = _parsed(item.pop("more", None), f"{place}.more")
    fields = {name: value for name, value in item.items() if value is not None}
    return {"phrase": label, **({} if box is None else {"bbox": box}), **fields, **more}


def _parsed(text: Any, place: str) -> dict[str, Any]:
    """Return the object in a JSON text, or an object as it is."""
    value = text
    if isinstance(text, str):
        try:
            value = parse_json(text.encode())
        except (DataError, UnicodeEncodeError) as error:
            raise DataError(f"{place} must be JSON ({error})") from error
    if not isinstance(value, Mapping | None):
        raise DataError(f"{place} must be an object, got {short(value)}")
    return dict(value or {})


def _is_json(value: Any) -> bool:
    """Return whether a value of a column is there and JSON can hold it."""
    if isinstance(value, Mapping):
        return all(map(_is_json, value.values()))
    return isinstance(value, str | int | float) or (
        isinstance(value, list) and all(map(_is_json, value))
    )


def _without_nulls(value: Any) -> Any:
    """Return the entries of a list without the fields that other entries of the column have."""
    if not isinstance(value, list):
        return value
    return [
        {name: v for name, v in item.items() if v is not None or name == "bbox"}
        if isinstance(item, Mapping)
        else item
        for item in value
    ]
