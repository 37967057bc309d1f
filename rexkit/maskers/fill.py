"""Masks without a model: the inside of polygons and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rexkit.formats.masks import union_of_polygons
from rexkit.geometry import box_corners
from rexkit.registry import MASKERS
from rexkit.structures import Array, ImageSize, Instance

if TYPE_CHECKING:
    from PIL.Image import Image


@MASKERS.register_module()
class FillMasker:
    """Fill the polygon of each instance, or its box where it has none.

    For polygons that a model wrote, and as the baseline that a segmentation model must beat. An
    instance with neither has no mask.

    >>> from PIL import Image
    >>> cup = Instance("cup", bbox=[1, 0, 3, 2])
    >>> FillMasker()(Image.new("RGB", (3, 2)), [cup])[0].mask
    {'size': [2, 3], 'counts': '24'}
    """

    def __call__(self, image: Image, instances: Sequence[Instance]) -> list[Instance]:
        """Return the instances with their masks."""
        return [self._filled(instance, image.size) for instance in instances]

    def _filled(self, instance: Instance, size: ImageSize) -> Instance:
        corners: Array | None = instance.polygon
        if corners is None and instance.bbox is not None:
            corners = box_corners(instance.bbox)
        if corners is None:
            return instance
        return replace(instance, mask=union_of_polygons([np.clip(corners, 0, size)], size))
