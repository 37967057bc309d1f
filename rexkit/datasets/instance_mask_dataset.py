"""Points or boxes as JSONL, with their masks in one image of instance numbers an image."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.errors import DataError
from rexkit.formats.images import read_image
from rexkit.registry import DATASETS


@DATASETS.register_module()
class InstanceMaskDataset(JsonlDataset):
    """A `JsonlDataset` with masks as COCO run lengths, from images of instance numbers.

    ``instance_mask`` of a row is a greyscale PNG as large as the image, 8 or 16 bit. A thing's
    ``instance`` is the value of its pixels there; they become its mask::

        {"image": "a.png", "instance_mask": "a_mask.png", "label": "nucleus",
         "instances": [{"instance": 1, "point": [3, 7]}, {"instance": 2, "point": [96, 9]}]}

    Things without ``instance`` have no mask. Arguments: as in `JsonlDataset`; the paths of both
    images are relative to ``image_dir``.
    """

    def record(self, fields: Mapping[str, Any]) -> Any:
        record = super().record(fields)
        name = fields.get("instance_mask")
        if not isinstance(name, str):
            raise DataError("a row must name its 'instance_mask'; JsonlDataset needs none")
        numbers = _read_numbers(read_image(self._image_dir / name), name)
        things = record.get("instances") if isinstance(record, dict) else None
        if not isinstance(things, list):
            raise DataError("a row with an instance_mask must have a list 'instances'")
        return {**record, "instances": [_with_mask(thing, numbers) for thing in things]}


def _read_numbers(image: bytes, name: str) -> np.ndarray:
    """The instance number of every pixel: (height, width)."""
    try:
        numbers = np.asarray(Image.open(io.BytesIO(image)))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} cannot be read as an image ({error})") from error
    if numbers.ndim != 2:
        raise DataError(f"{name} must be greyscale, one number a pixel; got {numbers.shape}")
    return numbers


def _with_mask(thing: Any, numbers: np.ndarray) -> Any:
    """A thing with the mask of its number; what is no object stays, for the checks to name."""
    if not isinstance(thing, dict) or "instance" not in thing:
        return thing
    from pycocotools import mask as coco_mask

    pixels = numbers == thing["instance"]
    if not pixels.any():
        raise DataError(f"no pixel of the instance_mask has the value {thing['instance']!r}")
    rle = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return {**thing, "mask": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}}
