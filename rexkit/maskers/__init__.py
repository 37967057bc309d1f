"""Mask makers: masks for instances that have boxes, points or polygons."""

from rexkit.maskers.fill import FillMasker
from rexkit.maskers.masked import add_masks, build_masker

__all__ = ["FillMasker", "add_masks", "build_masker"]
