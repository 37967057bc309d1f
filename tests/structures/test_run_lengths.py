"""Masks are checked before pycocotools decodes them, which would end the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rexkit.errors import DataError
from rexkit.instances import extent
from rexkit.run_lengths import decode_mask, encode_mask, mask_box, packed_mask
from rexkit.structures import Instance

WRAPPING = [2**62] * 4 + [6]  # its sum is 6 in 64 bits
MASKS: dict[str, Any] = {
    "no mask": [1],
    "no counts": {"size": [2, 3]},
    "size of nothing": {"size": [0, 0], "counts": "11"},
    "one side": {"size": [0, 3], "counts": ""},
    "negative": {"size": [-2, -3], "counts": [6]},
    "a number": {"size": 6, "counts": [6]},
    "three sides": {"size": [1, 2, 3], "counts": [6]},
    "floats": {"size": [2.0, 3.0], "counts": [6]},
    "sides that wrap": {"size": [2**63 - 1, 2**63 - 1], "counts": [1]},
    "huge": {"size": [2**20, 2**20], "counts": [2**40]},
    "huge count": {"size": [2, 3], "counts": [10**30]},
    "counts that wrap": {"size": [2, 3], "counts": WRAPPING},
    "negative count": {"size": [2, 3], "counts": [7, -1]},
    "nested counts": {"size": [2, 3], "counts": [[6]]},
    "counts of floats": {"size": [2, 3], "counts": [6.0]},
    "other letters": {"size": [2, 3], "counts": "2\u0434"},
    "surrogate": {"size": [2, 3], "counts": "2\ud800"},
    "too few": {"size": [2, 3], "counts": "23"},
    "no bytes": {"size": [2, 3], "counts": b""},
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("use", [packed_mask, decode_mask, mask_box])
def test_malformed_masks_are_errors(name: str, use: Any) -> None:
    with pytest.raises(DataError, match="mask"):
        use(MASKS[name])


@pytest.mark.parametrize("counts", ["24", b"24", [2, 4]])
def test_counts_of_every_kind(counts: Any) -> None:
    mask = {"size": (np.int64(2), 3), "counts": counts}
    assert decode_mask(mask).tolist() == [[False, True, True]] * 2
    assert encode_mask(decode_mask(mask)) == {"size": [2, 3], "counts": "24"}
    assert mask_box(mask).tolist() == extent(Instance("a", mask=mask)).tolist() == [1, 0, 3, 2]
