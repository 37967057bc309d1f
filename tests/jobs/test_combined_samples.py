"""Transforms that take other samples of their source: the same in every process, and with skip."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from annotation_strategies import plain
from PIL import Image

from rexkit.datasets import ShapesDataset
from rexkit.datasets.transforms import Mosaic, RandomFlip
from rexkit.errors import DataError, InterfaceError
from rexkit.examples import ExampleDataset, Source
from rexkit.registry import TRANSFORMS
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import GroundingTask


def shapes(*transforms: Any) -> ExampleDataset:
    source = Source(ShapesDataset(size=6, seed=3), GroundingTask(), list(transforms))
    return ExampleDataset([source], seed=1, training=True)


def seen(example: Any) -> Any:
    return example.response, plain(example.target), np.asarray(example.image).tobytes()


def test_a_mosaic_depends_on_seed_epoch_and_index_alone() -> None:
    data = shapes(RandomFlip(0.5), Mosaic(1.0))
    first = {key: seen(data[key]) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert len({response for response, _, _ in first.values()}) > 1
    again = pickle.loads(pickle.dumps(data))  # as a data worker has it, in another order
    assert {key: seen(again[key]) for key in reversed(first)} == first
    example = data[0, 0]
    assert example.source.count(" + ") == 3
    assert example.image.size == (128, 128)


def test_quarters_have_their_samples_and_the_transforms_before() -> None:
    def color(number: int) -> Sample:
        image = Image.new("RGB", (40, 30), (50 * number, 0, 0))
        found = [Instance(f"c{number}", bbox=[0, 0, 40, 30])]
        absent = ["dog", f"c{(number + 1) % 4}", *(["owl"] if number else [])]
        return Sample(image, Annotation((40, 30), found, absent), f"here:{number}")

    numbers = iter([1, 2, 3])
    mosaic = Mosaic(1.0, size=(80, 60), min_visible=0.0)
    made = mosaic.combine(color(0), np.random.default_rng(0), lambda: color(next(numbers)))
    assert made.source == "here:0 + here:1 + here:2 + here:3"
    assert made.annotation.absent == ["dog"]  # the others are in the image, or not known absent
    pixels = np.asarray(made.image)[..., 0]
    assert {i.phrase for i in made.annotation.instances} == {"c0", "c1", "c2", "c3"}
    for instance in made.annotation.instances:
        x0, y0, x1, y1 = instance.bbox.astype(int).tolist()
        assert (pixels[y0:y1, x0:x1] == 50 * int(instance.phrase[1])).all()
        assert (pixels == 50 * int(instance.phrase[1])).sum() == (x1 - x0) * (y1 - y0)
    numbers = iter([1, 2, 3])
    federated = Mosaic(1.0, exhaustive=False)
    made = federated.combine(color(0), np.random.default_rng(0), lambda: color(next(numbers)))
    assert all(i.ignore for i in made.annotation.instances)  # no image knows of all four
    place = color(0)
    place.annotation.instances[0].phrase = "left cup"
    with pytest.raises(DataError, match=r"here:0: Mosaic combines .* 'left cup'"):
        mosaic.combine(place, np.random.default_rng(0), lambda: color(1))


class Broken:
    """Samples of which every other one cannot be read."""

    def __init__(self, on_error: str) -> None:
        self.on_error = on_error
        self.good = ShapesDataset(size=8, seed=3)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        if index % 2:
            raise DataError("torn", f"rows:{index}")
        return replace(self.good[index], source=f"rows:{index}")


def test_rows_that_cannot_be_read_are_not_combined() -> None:
    source = Source(Broken("skip"), GroundingTask(), [Mosaic(1.0)])
    data = ExampleDataset([source], training=True)
    data.skip_unusable()
    assert data.sources[0].rows.tolist() == [0, 2, 4, 6]
    drawn = {row for epoch in range(6) for row in data[epoch, 0].source.split(" + ")}
    assert drawn == {"rows:0", "rows:2", "rows:4", "rows:6"}
    strict = ExampleDataset([Source(Broken("raise"), GroundingTask(), [Mosaic(1.0)])])
    with pytest.raises(DataError, match=r"rows:[1357]: torn"):
        [strict[epoch, 0] for epoch in range(6)]


def test_a_transform_that_combines_is_checked() -> None:
    class Wrong:
        def combine(self, sample: Sample, rng: Any) -> Sample:
            return sample

    with pytest.raises(InterfaceError, match=r"must take \(sample, rng, another\)"):
        TRANSFORMS.register_module()(Wrong)
