"""Mask makers: what `add_masks` gives them and checks, and the one that fills polygons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from annotation_builders import box, point
from oracle_masker import OracleMasker, disc
from PIL import Image

from rexkit.errors import ConfigError, DataError, InterfaceError
from rexkit.instances import extent
from rexkit.maskers import FillMasker, add_masks, build_masker
from rexkit.run_lengths import decode_mask, mask_area
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (40, 30)
IMAGE = Image.new("RGB", SIZE)
CUP, DOG = disc(SIZE, 10, 10, 5), disc(SIZE, 25, 15, 8)


def test_all_annotations_of_an_image_are_one_call_and_keep_everything_else():
    masker = OracleMasker([CUP, DOG])
    cup = box("cup", 5, 5, 15, 15, score=0.5, extra={"id": 7})
    first = Prediction(SIZE, [cup], ["cat"], text="raw", order=["cat", "cup"])
    second = Annotation(SIZE, [point("dog", 25, 15)], extra={"split": "val"})
    one, two = add_masks(masker, IMAGE, [first, second])
    assert masker.calls == [["cup", "dog"]]
    [masked] = one.instances
    assert masked.mask == CUP
    assert (masked.score, masked.extra, masked.bbox.tolist()) == (0.5, {"id": 7}, [5, 5, 15, 15])
    assert isinstance(one, Prediction)
    assert (one.text, one.absent, one.phrases) == ("raw", ["cat"], ["cat", "cup"])
    assert (two.instances[0].mask, two.extra) == (DOG, {"split": "val"})
    assert first.instances[0].mask is None


def test_instances_that_have_masks_are_ignored_or_have_no_place_are_not_asked_for():
    masker = OracleMasker([CUP])
    instances = [
        box("masked", 20, 5, 30, 25, mask=DOG),
        box("crowd", 0, 0, 40, 30, ignore=True),
        Instance("nowhere"),
        box("cup", 5, 5, 15, 15),
    ]
    [found] = add_masks(masker, IMAGE, [Annotation(SIZE, instances)])
    assert masker.calls == [["cup"]]
    assert [i.mask for i in found.instances] == [DOG, None, None, CUP]
    empty = Annotation(SIZE, instances[:3], ["cat"])
    assert add_masks(masker, IMAGE, [empty]) == [empty]
    assert add_masks(masker, IMAGE, [Prediction(SIZE)])[0].instances == ()
    assert len(masker.calls) == 1


class Wrong:
    def __init__(self, change):
        self.change = change

    def __call__(self, image, instances):
        return self.change(instances)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given[:1], "Wrong returned 1 instances for 2"),
        (lambda given: [CUP] * 2, "Wrong returned {.* in place of an Instance"),
        (
            lambda given: [replace(i, mask=disc((30, 40), 9, 9, 3)) for i in given],
            r"Wrong returned a mask that cannot be used: cup: the mask has size \[40, 30\]",
        ),
        (
            lambda given: [replace(i, mask={**CUP, "counts": "11"}) for i in given],
            "cup: the mask's counts do not cover",
        ),
    ],
)
def test_what_a_mask_maker_returns_is_checked(change, message):
    annotation = Annotation(SIZE, [box("cup", 5, 5, 15, 15), box("cup", 1, 1, 9, 9)])
    with pytest.raises(InterfaceError, match=message):
        add_masks(Wrong(change), IMAGE, [annotation])


def test_an_annotation_of_another_image_is_refused():
    with pytest.raises(DataError, match=r"\(30, 40\) pixels, the image has \(40, 30\)"):
        add_masks(FillMasker(), IMAGE, [Annotation(SIZE[::-1], [box("cup", 1, 1, 9, 9)])])


def test_polygons_are_filled_and_boxes_of_instances_without_one():
    triangle = np.array([[0, 0], [20, 0], [0, 20]], dtype=float)
    instances = [
        Instance("flag", bbox=[0, 0, 20, 20], polygon=triangle),
        box("cup", 5, 6, 15, 26),
        box("outside", 30, 20, 60, 50),
        point("dog", 3, 3),
    ]
    flag, cup, outside, dog = FillMasker()(IMAGE, instances)
    assert mask_area(flag.mask) == pytest.approx(200, abs=15)
    assert decode_mask(flag.mask)[2, 2]
    assert not decode_mask(flag.mask)[18, 18]
    assert extent(replace(cup, bbox=None)).tolist() == [5, 6, 15, 26]
    assert mask_area(cup.mask) == 200
    assert extent(replace(outside, bbox=None)).tolist() == [30, 20, 40, 30]
    assert dog.mask is None


def test_a_mask_maker_by_name_config_or_object_and_errors_with_the_next_step():
    assert isinstance(build_masker("FillMasker"), FillMasker)
    assert isinstance(build_masker({"type": "FillMasker"}), FillMasker)
    masker = OracleMasker([])
    assert build_masker(masker) is masker
    with pytest.raises(ConfigError, match=r"--masks.scale: FillMasker does not accept 'scale'"):
        build_masker({"type": "FillMasker", "scale": 2}, "--masks")


@pytest.mark.parametrize("name", ["SAMMasker", "sam"])
def test_without_the_plugin_the_error_says_what_to_install(name, monkeypatch):
    from rexkit.registry import MASKERS

    known = {"FillMasker": FillMasker}
    monkeypatch.setattr(type(MASKERS), "module_dict", property(lambda self: known))
    said = r"--masks.type: '\w+' is not in MASKERS.*rexkit-plugin-sam: pip install"
    with pytest.raises(ConfigError, match=said):
        build_masker(name, "--masks")
