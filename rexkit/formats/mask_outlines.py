"""The outline of a mask as one polygon, for formats that hold no masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from rexkit.run_lengths import decode_mask
from rexkit.structures import Array


def mask_polygon(mask: Mapping[str, Any]) -> Array | None:
    """Return the outline of a mask's pixels as one polygon: (N, 2), or None for an empty mask.

    Several parts are joined by lines without width, as Ultralytics' converter joins them, so that
    its area is that of the parts. Holes are filled.

    Args:
        mask: COCO RLE.

    >>> mask_polygon({"size": [2, 3], "counts": "24"}).tolist()
    [[3.0, 0.0], [1.0, 0.0], [1.0, 2.0], [3.0, 2.0]]
    """
    pixels = np.pad(decode_mask(mask).astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(pixels, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    if not len(rows):
        return None
    union = shapely.union_all(shapely.box(starts, rows, ends, rows + 1))
    parts = shapely.get_parts(union).tolist()
    rings = [np.asarray(part.exterior.simplify(0).coords)[:-1] for part in parts]
    outline, *others = rings
    first = outline[0]
    for ring in others:  # there and back from the same point
        outline = np.concatenate([outline, [first], ring, ring[:1], [first]])
    return np.asarray(outline, dtype=np.float64)
