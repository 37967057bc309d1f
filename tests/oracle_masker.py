"""A mask maker that returns given masks, for tests of what is done with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL.Image import Image

from rexkit.run_lengths import encode_mask
from rexkit.structures import ImageSize, Instance


class OracleMasker:
    """Gives masks in the order of the instances, over all calls.

    Attributes:
        calls: the phrases of each call.
        sizes: the size of the image of each call.
    """

    def __init__(self, masks: Sequence[dict[str, Any] | None]):
        self._masks = iter(masks)
        self.calls: list[list[str]] = []
        self.sizes: list[ImageSize] = []

    def __call__(self, image: Image, instances: Sequence[Instance]) -> list[Instance]:
        self.calls.append([instance.phrase for instance in instances])
        self.sizes.append(image.size)
        return [replace(instance, mask=next(self._masks)) for instance in instances]


def disc(size: ImageSize, x: float, y: float, radius: float) -> dict[str, Any]:
    """The mask of a disc in an image of (width, height)."""
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    return encode_mask((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)
