"""LabelMe data sets and records."""

from __future__ import annotations

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.labelme import read_labelme, to_labelme
from rexkit.registry import DATASETS
from rexkit.run_lengths import decode_mask


def shape(label, kind, *points, **fields):
    return {"label": label, "shape_type": kind, "points": list(map(list, points)), **fields}


def instances(*shapes):
    value = {"shapes": [*shapes], "imageWidth": 40, "imageHeight": 20}
    return read_record(read_labelme(value), (40, 20)).instances


def test_shapes():
    box, outline, circle, point, turned = instances(
        shape("cup", "rectangle", (9, 9), (1, 2), flags={"worn": True}),
        shape("cup", "polygon", (0, 0), (9, 0), (9, 9), description="EXIT"),
        shape("cup", "circle", (10, 10), (10, 15)),
        shape("cup", "point", (3, 4)),
        shape("cup", "rotation", (5, 0), (10, 5), (5, 10), (0, 5), direction=0.78),
    )
    assert box.bbox.tolist() == [1, 2, 9, 9]
    assert box.extra == {"flags": {"worn": True}}
    assert (outline.text, outline.bbox.tolist()) == ("EXIT", [0, 0, 9, 9])
    assert circle.bbox.tolist() == pytest.approx([5, 5, 15, 15])
    assert point.point.tolist() == [3, 4]
    assert turned.bbox.tolist() == [0, 0, 10, 10]


def test_groups():
    person, halves, left, right = instances(
        shape("person", "rectangle", (1, 1), (9, 9), group_id=1),
        shape("nose", "point", (5, 5), group_id=1),
        shape("bus", "polygon", (0, 0), (4, 0), (4, 4), (0, 4), group_id=2),
        shape("bus", "polygon", (8, 0), (12, 0), (12, 4), (8, 4), group_id=2),
        shape("eye", "point", (5, 5), group_id=3),
        shape("eye", "point", (6, 5), group_id=3),
    )
    assert {name: xy.tolist() for name, xy in person.keypoints.items()} == {"nose": [5, 5]}
    assert decode_mask(halves.mask).sum() == 32
    assert halves.bbox.tolist() == [0, 0, 12, 4]
    assert [left.point.tolist(), right.point.tolist()] == [[5, 5], [6, 5]]


@given(annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(annotation):
    record = read_labelme(json.loads(json.dumps(to_labelme(annotation, "a.jpg"))))
    read = read_record(record, annotation.image_size)
    wanted = [i for i in annotation.instances if i.mask is None or decode_mask(i.mask).any()]
    if len(wanted) < len(annotation.instances):
        return  # a picture of an empty mask is one pixel
    names = [i for i in annotation.instances if i.keypoints is None or i.bbox is not None]
    if len(names) == len(annotation.instances):
        assert [i.phrase for i in read.instances] == [i.phrase for i in annotation.instances]
        for found, given_ in zip(read.instances, annotation.instances, strict=True):
            for name in ("point", "polygon", "mask", "ignore", "score"):
                assert plain_field(found, name) == plain_field(given_, name)
            if given_.bbox is not None:
                np.testing.assert_allclose(found.bbox, given_.bbox, rtol=1e-5, atol=1e-6)


def plain_field(instance, name):
    return next(iter(plain(instance)[key] for key in [name]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"shapes": [{}]}, r"shapes\[0\] has no 'label'"),
        ({"shapes": [shape("a", "line", (1, 1), (2, 2))]}, "is a 'line' of 2 points"),
        ({"shapes": [shape("a", "polygon", (1,), (2, 2))]}, "pairs of numbers"),
        ({"shapes": [shape("a", "mask", (1, 1), (2, 2))]}, "needs imageWidth"),
        ({}, "a list 'shapes'"),
    ],
)
def test_records_that_cannot_be_used(value, message):
    with pytest.raises(DataError, match=message):
        read_labelme(value)


def test_a_folder(tmp_path):
    file = BytesIO()
    Image.new("RGB", (40, 20)).save(file, "PNG")
    record = {"shapes": [], "imagePath": "..\\pictures\\a.png", "imageData": None}
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text(json.dumps(record))
    (tmp_path / "sub" / "a.png").write_bytes(file.getvalue())
    inside = {**record, "imageData": base64.b64encode(file.getvalue()).decode()}
    (tmp_path / "b.json").write_text(json.dumps(inside))
    (tmp_path / "c.json").write_text(json.dumps(record))
    dataset = DATASETS.build(dict(type="LabelMeDataset", root=str(tmp_path)))
    assert [dataset[i].image.size for i in (0, 2)] == [(40, 20)] * 2
    with pytest.raises(DataError, match=r"c\.json: there is no image"):
        dataset[1]
    assert dataset[2].source == str(tmp_path / "sub" / "a.json")
