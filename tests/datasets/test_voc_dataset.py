"""Pascal VOC data sets and their XML files."""

from __future__ import annotations

import numpy as np
import pytest
from annotation_strategies import annotations
from hypothesis import given, settings
from PIL import Image

from rexkit.datasets import CocoDataset, VocDataset
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.voc import read_voc, to_voc
from rexkit.instances import extent
from rexkit.registry import DATASETS

OBJECT = """<annotation><folder>x</folder><filename>a.jpg</filename>
<size><width>40</width><height>20</height><depth>3</depth></size>
<object><name>cup</name><pose>Left</pose><difficult>1</difficult><occluded>1</occluded>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>20.0</ymax></bndbox>
<part><name>handle</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
</part></object>
<object><name>dog</name>
<robndbox><cx>20</cx><cy>10</cy><w>10</w><h>4</h><angle>1.5707963</angle></robndbox></object>
<object><name>hat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>
<polygon><x1>0</x1><y1>0</y1><x2>9</x2><y2>0</y2><x3>9</x3><y3>9</y3></polygon></object>
</annotation>"""


@pytest.fixture
def devkit(tmp_path):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "Annotations" / "a.xml").write_text(OBJECT)
    (tmp_path / "Annotations" / "b.xml").write_text("<annotation/>")
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a 1\nb -1\n")
    Image.new("RGB", (40, 20)).save(tmp_path / "JPEGImages" / "a.jpg")
    return tmp_path


def test_a_split_of_a_devkit(devkit):
    dataset = DATASETS.build(dict(type="VocDataset", root=str(devkit), split="train"))
    assert len(dataset) == 1
    cup, dog, hat = dataset[0].annotation.instances
    assert (cup.bbox.tolist(), cup.ignore) == ([1, 1, 40, 20], True)
    part = {"name": "handle", "bndbox": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}
    assert cup.extra == {"pose": "Left", "difficult": 1, "occluded": 1, "part": part}
    np.testing.assert_allclose(dog.bbox, [18, 5, 22, 15], atol=1e-5)
    assert dog.polygon.shape == (4, 2)
    assert hat.polygon.tolist() == [[0, 0], [9, 0], [9, 9]]
    one_based = VocDataset(devkit, split="train", one_based=True)
    assert one_based[0].annotation.instances[0].bbox.tolist() == [0, 0, 40, 20]
    everything = VocDataset(devkit)
    assert len(everything) == 2
    with pytest.raises(DataError, match=r"b\.xml: .*cannot read the image"):
        everything[1]
    with pytest.raises(DataError, match="no split 'trian'; did you mean 'train'"):
        VocDataset(devkit, split="trian")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation>", "not usable XML"),
        ("<annotations/>", "root of the XML must be <annotation>, it is <annotations>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "not usable XML"),
        ("<annotation><object/></annotation>", "object 1 has no <name>"),
        ("<annotation><object><name>a</name></object></annotation>", "neither <bndbox>"),
        (OBJECT.replace("<xmin>1<", "<xmin>one<"), "<xmin> must be a number, got 'one'"),
    ],
)
def test_xml_that_cannot_be_used(xml, message):
    with pytest.raises(DataError, match=message):
        read_voc(xml.encode())


@given(annotations())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(annotation):
    record, name = read_voc(to_voc(annotation, "x/y.jpg").encode())
    assert name == "y.jpg"
    read = read_record(record, annotation.image_size, "xyxy", [], [])
    kept = [
        i
        for i in annotation.instances
        if not np.isnan(extent(i)).any()
        and (i.bbox is not None or (extent(i)[2:] > extent(i)[:2]).all())
    ]
    assert [(i.phrase, i.ignore) for i in read.instances] == [(i.phrase, i.ignore) for i in kept]
    for found, given_ in zip(read.instances, kept, strict=True):
        np.testing.assert_allclose(found.bbox, extent(given_), atol=1e-6)
        assert {**found.extra} == {"pose": "Unspecified", "truncated": 0, **given_.extra} | (
            {"difficult": 1} if given_.ignore else {}
        )
        if given_.polygon is not None:
            np.testing.assert_allclose(found.polygon, given_.polygon, atol=1e-6)


def test_real_files_are_those_of_the_coco_file(shared_data):
    bccd = shared_data / "bccd"
    dataset = VocDataset(bccd / "val_voc", bccd / "val")
    expected = {s.image_path: s.annotation for s in CocoDataset(bccd / "val.json", bccd / "val")}
    assert len(dataset) == len(expected) == 20
    for sample in dataset:
        target = expected[sample.image_path]
        assert sample.annotation.boxes().tolist() == target.boxes().tolist()
        assert sample.annotation.phrases == target.phrases
