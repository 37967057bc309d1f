"""Screenshots from files: ScreenSpot records, JSON lines with several elements, COCO JSON."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from rexkit import DATASETS, DataError
from rexkit.datasets import Coordinates, OnError, OnOutside, RowDataset
from rexkit.formats import BoxFormat, is_coco, parse_json, read_coco

PLATFORMS = {
    **dict.fromkeys(("ios", "android"), "mobile"),
    **dict.fromkeys(("windows", "macos", "linux"), "desktop"),
    **dict.fromkeys(("web", "gitlab", "shop", "forum", "tool"), "web"),
}
"""Platform of each data source of ScreenSpot and its successors."""


@DATASETS.register_module()
class ScreenshotDataset(RowDataset):
    """Read screenshots with their elements from JSON, JSON lines or COCO JSON.

    A JSON file is a list of records, JSON lines are one record each. A record names its image by
    ``img_filename``, ``image`` or ``image_name``, and is one element itself, as in ScreenSpot, or
    has a list ``elements`` of them::

        {"img_filename": "a.png", "bbox": [42, 10, 97, 70], "instruction": "open the menu",
         "data_type": "icon", "data_source": "ios"}
        {"image": "b.png", "platform": "web",
         "elements": [{"bbox": [5, 5, 60, 20], "name": "Button", "instruction": "log in"}]}

    The phrase of an element is its ``instruction``, or its class ``name`` if it has none; in COCO
    JSON, its category. `Instance.extra` has the other fields of an element, and always

    - ``data_type``: "text" or "icon", as ``data_type`` or ``ui_type`` says; else "text" if the
      class name contains the word, "icon" otherwise; missing for an element without either
    - ``platform``: "mobile", "desktop" or "web", by ``platform`` or ``data_source`` of the element
      or record (see `PLATFORMS`; an unknown one is kept); otherwise the argument

    The parsed file stays in memory.

    Args:
        ann_file: the annotation file.
        image_dir: the folder of the images; left out, the folder of ``ann_file``.
        words: "instruction" as above, or "name" to use the class of every element as its phrase.
        box_format: format of ``bbox``: "xywh" in ScreenSpot, ScreenSpot-v2 and COCO, "xyxy" in
            ScreenSpot-Pro. A ``bbox_xyxy`` is always xyxy.
        platform: platform of elements for which the file has none.
        on_error: "raise" or "skip", as in `rexkit.datasets.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        coordinates: "pixels", or the range of other coordinates, such as "0-1", as there.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: the file is not JSON, or a COCO annotation names an image that is not listed.
            An error in a record is raised when that record is read.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        words: Literal["instruction", "name"] = "instruction",
        box_format: BoxFormat = "xywh",
        platform: str | None = None,
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        coordinates: Coordinates | None = None,
    ):
        path = Path(ann_file)
        self._image_dir = path.parent if image_dir is None else Path(image_dir)
        self._words = words
        self._platform = platform
        read = _read_coco if is_coco(path) else _read_records
        self._records = list(read(path))
        super().__init__(
            len(self._records), box_format, on_error, on_outside, coordinates=coordinates
        )

    def row_source(self, row: int) -> str:
        """Return the file and line of a record."""
        return self._records[row][0]

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record and the image file of a screenshot."""
        record = self._records[row][1]
        if isinstance(record, bytes):
            record = parse_json(record)
        if not isinstance(record, Mapping):
            raise DataError("a record must be a JSON object")
        named = [key for key in ("img_filename", "image", "image_name") if key in record]
        if not named:
            raise DataError(f"a record must name its 'image'; it has {list(record)}")
        elements = record.get("elements", [record])
        if not isinstance(elements, list):
            raise DataError("elements must be a list")
        size = {side: record[side] for side in ("width", "height") if side in record}
        elements = [self._element(element, record) for element in elements]
        return {**size, "boxes": elements}, self._image_dir / str(record[named[0]])

    def _element(self, element: Any, record: Mapping[str, Any]) -> Any:
        """Return an element as an object of a rexkit record; anything else is left as it is."""
        if not isinstance(element, Mapping):
            return element
        name = element.get("name")
        instruction = element.get("instruction") if self._words == "instruction" else None
        kind = element.get("data_type") or element.get("ui_type")
        if kind is None and isinstance(name, str):
            kind = "text" if "text" in name.lower() else "icon"
        platform = next(
            (
                found
                for key in ("platform", "data_source")
                for holder in (element, record)
                if (found := holder.get(key)) is not None
            ),
            self._platform,
        )
        row = {"phrase": name if instruction is None else instruction, **element}
        if element is record:  # its own fields are the element's, the image's are not
            for key in ("img_filename", "image", "image_name", "width", "height"):
                row.pop(key, None)
        if kind is not None:
            row["data_type"] = str(kind)
        if platform is not None:
            row["platform"] = PLATFORMS.get(str(platform).lower(), str(platform))
        return row


def _read_coco(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the records of a COCO file, each with its source."""
    data = read_coco(path)
    names = {category["id"]: category["name"] for category in data["categories"]}
    annotations = defaultdict(list)
    for annotation in data["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    if strangers := set(annotations) - {image["id"] for image in data["images"]}:
        raise DataError(f"'images' does not list image {min(strangers, key=str)}", str(path))
    for image in data["images"]:
        elements = [
            {
                "name": names.get(a["category_id"]),
                "ignore": bool(a.get("iscrowd") or a.get("ignore")),
                **{k: v for k, v in a.items() if k in ("id", "bbox", "area", "instruction")},
            }
            for a in annotations[image["id"]]
        ]
        record = {**image, "image": image["file_name"], "elements": elements}
        yield f"{path}: image {image['id']} ({image['file_name']})", record


def _read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of a JSON list, or unparsed lines of JSON, each with its source."""
    data = path.read_bytes()
    if data.lstrip()[:1] == b"[":
        try:
            records = parse_json(data)
        except DataError as error:
            raise error.at(str(path)) from error
        yield from ((f"{path}[{number}]", record) for number, record in enumerate(records))
        return
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line
