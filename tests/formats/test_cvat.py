"""CVAT for images 1.1: its shapes, and where the images of a file are."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.cvat import read_cvat_image, to_cvat_image
from rexkit.formats.cvat_files import CvatFile, CvatLabels
from rexkit.instances import extent, has_outline, keypoint_visibility
from rexkit.run_lengths import decode_mask
from rexkit.structures import Annotation, Instance

SIZE = (40, 20)


def read(*shapes: str) -> Annotation:
    xml = f'<image id="3" name="a.jpg" width="40" height="20">{"".join(shapes)}</image>'
    return read_record(read_cvat_image(xml.encode()), SIZE)


def test_shapes():
    box, turned, polygon, ellipse, one, other, mask = read(
        '<box label="car" source="auto" occluded="1" xtl="1.5" ytl="2" xbr="30" ybr="20"'
        ' z_order="4">'
        '<attribute name="parked">true</attribute><attribute name="model">A 3</attribute>'
        '<attribute name="year">1999</attribute><attribute name="code">007</attribute></box>',
        '<box label="car" occluded="0" xtl="10" ytl="8" xbr="20" ybr="12" rotation="90.00"/>',
        '<polygon label="x" occluded="0" points="0,0;9.5,0;9,9"/>',
        '<ellipse label="x" cx="20" cy="10" rx="8" ry="4" rotation="90"/>',
        '<points label="wheel" points="1,2;3,4"/>',
        '<mask label="leaf" rle="1, 2, 1, 2" left="4" top="5" width="3" height="2"/>',
        '<polyline label="lane" points="0,0;9,9"/>',
    ).instances
    assert (box.phrase, box.bbox.tolist()) == ("car", [1.5, 2, 30, 20])
    given_ = {"parked": True, "model": "A 3", "year": 1999, "code": "007"}
    assert box.extra == {**given_, "occluded": 1, "source": "auto", "z_order": 4}
    np.testing.assert_allclose(turned.bbox, [13, 5, 17, 15])
    np.testing.assert_allclose(turned.polygon, [[17, 5], [17, 15], [13, 15], [13, 5]])
    assert polygon.bbox.tolist() == [0, 0, 9.5, 9]
    np.testing.assert_allclose(ellipse.bbox, [16, 2, 24, 18], atol=1e-9)
    assert [i.point.tolist() for i in (one, other)] == [[1, 2], [3, 4]]
    # Run lengths go along the rows, from zeros on.
    assert decode_mask(mask.mask)[5:7, 4:7].tolist() == [[False, True, True], [False, True, True]]
    assert decode_mask(mask.mask).sum() == 4


def test_a_skeleton_and_what_attributes_mean():
    [person, sign, crowd] = read(
        '<skeleton label="person" z_order="0"><points label="nose" outside="0" points="5,6"/>'
        '<points label="left_eye" outside="1" points="0,0"/>'
        '<points label="right_eye" outside="0" occluded="1" points="7,6"/></skeleton>',
        '<box label="sign" xtl="0" ytl="0" xbr="9" ybr="9"><attribute name="text">12</attribute>'
        '<attribute name="score">0.25</attribute></box>',
        '<box label="crowd" xtl="0" ytl="0" xbr="9" ybr="9">'
        '<attribute name="is_crowd">true</attribute><attribute name="bbox">big</attribute></box>',
    ).instances
    assert person.keypoints["left eye"] is None
    assert person.keypoints["right eye"].tolist() == [7, 6]
    assert keypoint_visibility(person) == {"nose": 2, "left eye": 0, "right eye": 1}
    assert (sign.text, sign.score) == ("12", 0.25)
    assert (crowd.ignore, crowd.extra) == (True, {"is_crowd": True, "bbox_": "big"})
    [plain] = read(
        '<box label="x" xtl="0" ytl="0" xbr="9" ybr="9"><attribute name="ignore">no</attribute>'
        '<attribute name="score">7</attribute></box>'
    ).instances
    assert (plain.ignore, plain.score, plain.extra) == (False, None, {"score_": 7})


def test_groups():
    box = '<box label="{}" xtl="1" ytl="1" xbr="9" ybr="9" group_id="{}"/>'
    part = '<polygon label="bus" group_id="2" points="{0},0;{1},0;{1},4;{0},4"/>'
    bus, one, other, dog, cat = read(
        part.format(0, 4),
        part.format(8, 12),
        box.format("person", 1),
        box.format("person", 1),
        box.format("dog", 3),
        box.format("cat", 3),
    ).instances
    assert (decode_mask(bus.mask).sum(), bus.bbox.tolist()) == (32, [0, 0, 12, 4])
    assert [i.extra["group_id"] for i in (one, other, dog, cat)] == [1, 1, 3, 3]


def test_tags():
    found = read(
        '<tag label="night" source="manual"/>',
        '<tag label="weather"><attribute name="rain">true</attribute></tag>',
        '<tag label="absent"><attribute name="phrase">dog</attribute></tag>',
        '<tag label="absent"><attribute name="phrase">true</attribute></tag>',
    )
    assert found.extra == {"tags": ["night", {"label": "weather", "rain": True}]}
    assert found.absent == ["dog", "true"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<box xtl="1"/>', "<box> 1 has no label"),
        ('<box label="x" xtl="1" ytl="a"/>', "ytl must be a number, got 'a'"),
        ('<polygon label="x" points="1,2;3"/>', "points must be x,y;x,y"),
        ('<sphere label="x"/>', "<sphere> 1 is of a kind that is not known"),
        ('<mask label="x" rle="1" left="0" top="0" width="2" height="1"/>', "does not cover it"),
        ('<mask label="x" rle="2" left="39" top="0" width="2" height="1"/>', "leaves the image"),
        ('<mask label="x" rle="1" left="0" top="0" width="-1" height="-1"/>', "leaves the image"),
        (
            f'<mask label="x" rle="{10**30}" left="0" top="0" width="2" height="1"/>',
            "whole numbers",
        ),
        ('<mask label="x" rle="a" left="0" top="0" width="2" height="1"/>', "whole numbers"),
        ('<skeleton label="x"><box label="y"/></skeleton>', "must be points with a label"),
    ],
)
def test_shapes_that_cannot_be_used(shape, message):
    with pytest.raises(DataError, match=message):
        read(shape)


@given(annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(annotation):
    element = to_cvat_image(annotation, 0, "a.png")
    record = read_cvat_image(ET.tostring(element, encoding="unicode").encode())
    found = read_record(record, annotation.image_size)
    assert found.absent == annotation.absent
    assert len(found.instances) == len(annotation.instances)
    for one, other in zip(annotation.instances, found.instances, strict=True):
        for name in ("phrase", "text", "score", "ignore", "mask"):
            assert getattr(other, name) == getattr(one, name)
        kept = {k: v for k, v in one.extra.items() if k != "id"}
        assert other.extra == kept
        for name in ("point", "polygon"):
            assert (getattr(other, name) is None) == (getattr(one, name) is None)
            if getattr(one, name) is not None:
                np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-8)
        if one.bbox is not None or has_outline(one):
            np.testing.assert_allclose(extent(other), extent(one), rtol=1e-5, atol=1e-6)
        assert (other.keypoints is None) == (one.keypoints is None)
        if one.keypoints is not None:
            assert other.keypoints["left ear"] is None
            np.testing.assert_allclose(other.keypoints["nose"], one.keypoints["nose"], rtol=1e-8)


FILE = """<?xml version="1.0" encoding="utf-8"?>
<!-- <image name="no"/> -->
<annotations><version>1.1</version><meta><task><name>é</name></task></meta>
  <image id="0" name="é.jpg" width="40" height="20"/><image id="1" name="b.jpg" subset="Train"
   width="40" height="20">
    <polyline label="x" points="1,1;2,2"/>
    <box label="é &gt;" xtl="1" ytl="1" xbr="2" ybr="2"/>
  </image>
</annotations>"""


def test_the_images_of_a_file(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(FILE, "utf-8")
    file = CvatFile(path)
    assert (file.names, file.subsets, file.left_out) == (
        ["é.jpg", "b.jpg"],
        ["", "Train"],
        {"polyline": 1},
    )
    assert read_cvat_image(file.image(0))["instances"] == []
    [entry] = read_cvat_image(file.image(1))["instances"]
    assert entry == {"phrase": "é >", "bbox": [1, 1, 2, 2]}


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotations>", r"a.xml: this is not usable XML"),
        ("<annotation/>", "a.xml:1: the root of CVAT's XML is <annotations>, this one has <annota"),
        ("<annotations>\n<track/></annotations>", "a.xml:2: this is CVAT for video; export"),
        ("<annotations><image/></annotations>", "an image has no name"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
        ('<?xml version="1.0" encoding="latin-1"?><annotations/>', "the file is latin-1"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, xml, message):
    (tmp_path / "a.xml").write_text(xml)
    with pytest.raises(DataError, match=message):
        CvatFile(tmp_path / "a.xml")


def test_labels():
    labels = CvatLabels()
    person = Instance("person", bbox=[0, 0, 9, 9], keypoints={"nose": [1, 1], "ear": None})
    labels.add(Annotation(SIZE, [person, Instance("cup", point=[1, 1], text="A", ignore=True)]))
    box, skeleton, cup = labels.constructor()
    assert (box["name"], box["type"]) == ("person", "any")
    assert (skeleton["name"], skeleton["type"]) == ("person keypoints", "skeleton")
    assert [p["name"] for p in skeleton["sublabels"]] == ["nose", "ear"]
    assert skeleton["svg"].count("<circle") == 2
    kinds = {a["name"]: a["input_type"] for a in cup["attributes"]}
    assert kinds == {"text": "text", "ignore": "checkbox"}
    meta = labels.meta(["train", "val"], 2)
    assert meta.findtext("project/subsets") == "train\nval"
    assert [e.text for e in meta.iterfind("project/labels/label/parent")] == [
        "person keypoints"
    ] * 2
