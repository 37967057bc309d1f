"""Masks from images of instance numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import InstanceMaskDataset, JsonlDataset
from rexkit.errors import DataError
from rexkit.geometry import decode_mask, points_in_mask


def write(folder: Path, numbers: np.ndarray, *entries: Any, **row: Any) -> InstanceMaskDataset:
    Image.new("RGB", (6, 4)).save(folder / "a.png")
    Image.fromarray(numbers).save(folder / "m.png")
    record = {"image": "a.png", "instance_mask": "m.png", "label": "cell", "instances": entries}
    (folder / "a.jsonl").write_text(json.dumps({**record, **row}))
    return InstanceMaskDataset(folder / "a.jsonl")


@pytest.mark.parametrize(("kind", "number"), [(np.uint8, 200), (np.uint16, 40_000)])
def test_the_mask_is_where_the_number_is(tmp_path: Path, kind: type, number: int) -> None:
    numbers = np.zeros((4, 6), kind)
    numbers[1:3, 2:5] = number
    entries = {"instance": number, "point": [3, 2]}, {"point": [0, 0]}
    first, second = write(tmp_path, numbers, *entries)[0].annotation.instances
    assert first.mask is not None
    assert isinstance(first.mask["counts"], str)
    assert np.array_equal(decode_mask(first.mask), numbers > 0)
    assert first.extra == {"instance": number}
    assert second.mask is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instances": [{"instance": 9, "point": [1, 1]}]}, "no pixel .* has the value 9"),
        ({"instances": None}, "must have a list 'instances'"),
        ({"annotation": 3}, "must have a list 'instances'"),
        ({"instances": [3]}, "must be a JSON object"),
        ({"instance_mask": None}, "must name its 'instance_mask'"),
        ({"instance_mask": "no.png"}, "cannot read the image"),
        ({"instance_mask": "a.jsonl"}, "cannot be decoded"),
        ({"instance_mask": "a.png"}, "must be greyscale"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    dataset = write(tmp_path, np.zeros((4, 6), np.uint8), **row)
    with pytest.raises(DataError, match=rf"a\.jsonl:1.*{reason}"):
        dataset[0]


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    dataset = write(tmp_path, np.ones((5, 6), np.uint8), {"instance": 1, "point": [1, 1]})
    with pytest.raises(DataError, match="the mask has size"):
        dataset[0]


def test_nuclei(shared_data: Path) -> None:
    path = shared_data / "pointing" / "points.jsonl"
    dataset, plain = InstanceMaskDataset(path), JsonlDataset(path)
    number = 0
    for i in range(len(dataset)):
        for instance, bare in zip(
            dataset[i].annotation.instances, plain[i].annotation.instances, strict=True
        ):
            number += 1
            assert instance.mask is not None
            assert decode_mask(instance.mask).sum() == instance.extra["area"]
            assert points_in_mask([instance.point], instance.mask).all()
            assert bare.mask is None
    assert number == 316
