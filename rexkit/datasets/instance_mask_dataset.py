"""Points or boxes as JSONL, with their masks in an image of instance numbers for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.errors import DataError
from rexkit.formats.images import read_image
from rexkit.formats.masks import mask_of_number, read_instance_numbers
from rexkit.registry import DATASETS


@DATASETS.register_module()
class InstanceMaskDataset(JsonlDataset):
    """A `JsonlDataset` with masks as COCO run lengths, from images of instance numbers.

    ``instance_mask`` of a row is a greyscale PNG as large as the image, 8 or 16 bit. ``instance``
    of an entry is the value of its pixels there; they become its mask::

        {"image": "a.png", "instance_mask": "a_mask.png", "label": "nucleus",
         "instances": [{"instance": 1, "point": [3, 7]}, {"instance": 2, "point": [96, 9]}]}

    Entries without ``instance`` have no mask. Arguments: as in `JsonlDataset`; the paths of both
    images are relative to ``image_dir``.
    """

    needs_outlines = True

    def record(self, fields: Mapping[str, Any]) -> Any:
        """Return the annotation record in the fields of a row."""
        record = super().record(fields)
        name = fields.get("instance_mask")
        if not isinstance(name, str):
            raise DataError("a row must name its 'instance_mask'; JsonlDataset needs none")
        numbers = read_instance_numbers(read_image(self._image_dir / name), name)
        entries = record.get("instances") if isinstance(record, dict) else None
        if not isinstance(entries, list):
            raise DataError("a row with an instance_mask must have a list 'instances'")
        return {**record, "instances": [_with_mask(entry, numbers) for entry in entries]}


def _with_mask(entry: Any, numbers: NDArray[Any]) -> Any:
    """Add the mask of an entry's number; what is no object stays, for the checks to name."""
    if not isinstance(entry, dict) or "instance" not in entry:
        return entry
    return {**entry, "mask": mask_of_number(numbers, entry["instance"])}
