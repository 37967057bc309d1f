"""Annotation formats that are not what a file is read as: known by their keys, with a next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROW = '{"image": PATH, "boxes": [{"bbox": [x0, y0, x1, y1], "phrase": NAME}]}'

_CONVERSATION = "this is a conversation: ChatDataset reads its text"
_LABEL_STUDIO = "this is Label Studio's JSON, which LabelStudioDataset reads"
_JSON_MIN = "this is Label Studio's JSON-MIN; export as JSON, which LabelStudioDataset reads"

_FORMATS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("images", "annotations"), "this is COCO JSON, which CocoDataset reads"),
    (("images", "categories"), "this is COCO JSON, which CocoDataset reads"),
    (("image_id", "category_id", "bbox"), "these are COCO results, without images and categories"),
    (("data", "annotations"), _LABEL_STUDIO),
    (("data", "completions"), _LABEL_STUDIO),
    (("data", "predictions"), _LABEL_STUDIO),
    (("conversations",), f"{_CONVERSATION}; ShareGptDataset reads its boxes"),
    (("messages",), f"{_CONVERSATION}; SwiftDataset reads its boxes"),
    (("img_filename", "instruction"), "this is ScreenSpot's JSON, which ScreenspotDataset reads"),
    (("shapes", "imagePath"), "this is a LabelMe file: use LabelMeDataset for its folder"),
    (("asset", "regions"), "this is a file of VoTT: use VottDataset for its folder"),
    (("assets", "tags"), "this is VoTT's JSON, which VottDataset reads"),
    (("imgs", "anns"), f"this is TextOCR's or TextCaps' JSON; write rows as {_ROW}"),
    (("filename", "detection"), "this is a row of ODVG, which OdvgDataset reads"),
    (("filename", "grounding"), "this is a row of ODVG, which OdvgDataset reads"),
    (("file_name", "objects"), f"this is a row of an image folder; write it as {_ROW}"),
    (("image", "objects"), f"this is a row of an image folder; write it as {_ROW}"),
    (("image_path", "gt"), "this is a row of the Rex-Omni evaluation: use RexOmniEvalDataset"),
    (("image_name", "gt"), "this is a row of the Rex-Omni evaluation: use RexOmniEvalDataset"),
)


def foreign_format(value: Any) -> str | None:
    """Return which other format a row or the content of a file has, and what to do, in one clause.

    Args:
        value: a parsed JSON value; of a list, its first item counts.

    Returns:
        None where it is no format that is known here.

    >>> foreign_format([{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}])
    "this is Label Studio's JSON, which LabelStudioDataset reads"
    """
    if isinstance(value, list):
        value = next(iter(value), None)
    if not isinstance(value, Mapping):
        return None
    for field in value.values():
        shape = next(iter(field), None) if isinstance(field, list) else None
        if isinstance(shape, Mapping) and "original_width" in shape:  # JSON-MIN
            return _JSON_MIN
    return next((hint for keys, hint in _FORMATS if all(key in value for key in keys)), None)
