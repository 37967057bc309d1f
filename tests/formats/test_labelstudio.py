"""Label Studio's results and tasks, and its encoding of masks."""

from __future__ import annotations

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from annotation_strategies import annotations, plain, random_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.brush_runs import decode_brush, encode_brush
from rexkit.formats.labelstudio import read_labelstudio
from rexkit.formats.labelstudio_tasks import (
    LabellingConfig,
    chosen_annotation,
    image_paths,
    image_reference,
    to_labelstudio,
)
from rexkit.instances import extent, has_outline
from rexkit.run_lengths import decode_mask
from rexkit.structures import Annotation, Instance

SIZE = (200, 100)


def result(kind, key, value, **fields):
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    known = {"id": key, "type": kind, "from_name": kind, "to_name": "image"}
    return {**known, "value": value, **size, **fields}


def read(*results, **options):
    record = read_labelstudio({"result": [*results]}, lambda: SIZE, **options)
    return read_record(record, SIZE)


def rectangle(key, label="cup", **fields):
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]}
    return result("rectanglelabels", key, value, **fields)


def test_shapes_are_percent_of_the_sides():
    turned = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90}
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 90}
    box, polygon, point, quarter, ring = read(
        rectangle("a", score=0.25),
        result(
            "polygonlabels", "b", {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["x"]}
        ),
        result("keypointlabels", "c", {"x": 5, "y": 5, "width": 0.3, "keypointlabels": ["x"]}),
        result("rectanglelabels", "d", {**turned, "rectanglelabels": ["x"]}),
        result("ellipselabels", "e", {**ellipse, "ellipselabels": ["x"]}),
    ).instances
    assert (box.phrase, box.bbox.tolist(), box.score) == ("cup", [20, 20, 80, 60], 0.25)
    assert polygon.polygon.tolist() == [[0, 0], [100, 0], [100, 50]]
    assert polygon.bbox.tolist() == [0, 0, 100, 50]
    assert point.point.tolist() == [10, 5]
    # Twenty pixels wide and ten high, turned clockwise around the corner at 100, 20.
    np.testing.assert_allclose(quarter.polygon, [[100, 20], [100, 40], [90, 40], [90, 20]])
    np.testing.assert_allclose(ring.bbox, [90, 30, 110, 70], atol=1e-9)


def test_a_turned_box_that_leaves_the_image_is_clamped():
    value = {"x": 2, "y": 0, "width": 20, "height": 20, "rotation": 45, "rectanglelabels": ["x"]}
    record = read_labelstudio({"result": [result("rectanglelabels", "a", value)]}, lambda: SIZE)
    clamped, left_out = [], []
    [instance] = read_record(record, SIZE, clamped=clamped, left_out=left_out).instances
    assert (len(clamped), len(left_out), instance.polygon) == (1, 1, None)
    assert instance.bbox[0] == 0


def test_results_of_one_region_belong_together():
    shape = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}
    first, second = read(
        result("rectangle", "a", shape, from_name="bbox"),
        result("labels", "a", {**shape, "labels": ["Text"]}),
        result("textarea", "a", {**shape, "text": ["EXIT", "2"]}, from_name="transcription"),
        result("textarea", "a", {**shape, "text": ["blurred"]}, from_name="comment"),
        result("choices", "a", {**shape, "choices": ["ignore"]}, from_name="ignore"),
        result("choices", "a", {**shape, "choices": ["Latin"]}, from_name="script"),
        result("rating", "a", {**shape, "rating": 3}, from_name="score", meta={"text": ["see"]}),
        result("textarea", "b", {"text": ["IN"]}, from_name="transcription"),
        result("polygon", "b", {"points": [[0, 0], [50, 0], [50, 50]], "closed": True}),
    ).instances
    assert (first.phrase, first.text, first.ignore) == ("Text", "EXIT 2", True)
    assert first.bbox.tolist() == [0, 0, 100, 50]
    fields = {"id": "a", "comment": "blurred", "script": "Latin", "score_": 3, "note": "see"}
    assert first.extra == fields
    assert (second.phrase, second.text) == ("text", "IN")


def test_several_labels_are_several_instances():
    value = {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["cup", "red"]}
    assert read(result("rectanglelabels", "a", value)).phrases == ["cup", "red"]


def test_regions_inside_another():
    def point(key, label, **fields):
        return result(
            "keypointlabels", key, {"x": 15, "y": 30, "keypointlabels": [label]}, **fields
        )

    outline = {"points": [[10, 20], [40, 20], [40, 60]], "polygonlabels": ["person"]}
    person, wheel, alone, car = read(
        point("n", "nose", parentID="p"),
        rectangle("p", "person"),
        point("e", "left_eye", parentID="p", score=0.5),
        result("polygonlabels", "o", outline, parentID="p"),
        rectangle("w", "wheel", parentID="c"),
        point("x", "nose"),
        rectangle("c", "car"),
    ).instances
    assert person.bbox.tolist() == [20, 20, 80, 60]
    assert person.polygon.tolist() == [[20, 20], [80, 20], [80, 60]]
    assert {k: v.tolist() for k, v in person.keypoints.items()} == {
        "nose": [30, 30],
        "left eye": [30, 30],
    }
    assert person.extra == {"id": "p", "keypoint_fields": {"left eye": {"score": 0.5}}}
    assert (wheel.phrase, wheel.extra["parent"], car.phrase) == ("wheel", "c", "car")
    assert alone.point.tolist() == [30, 30]


def test_what_is_asked_of_the_image():
    found = read(
        rectangle("a"),
        result("choices", "q", {"choices": ["night"]}, from_name="time"),
        result("choices", "r", {"choices": ["dog", "cup"]}, from_name="absent"),
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    )
    assert found.absent == ["dog"]
    assert found.extra["time"] == "night"
    assert found.extra["relations"][0]["to_id"] == "b"


def test_a_bit_mask():
    pixels = np.zeros((100, 200, 4), np.uint8)
    pixels[10:20, 30:50, 3] = 255
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    value = {"imageDataURL": url, "bitmasklabels": ["leaf"]}
    [leaf] = read(result("bitmasklabels", "a", value)).instances
    [other] = read(result("bitmask", "a", {"imageDataURL": url, "labels": ["leaf"]})).instances
    assert other.bbox.tolist() == leaf.bbox.tolist()
    assert leaf.bbox.tolist() == [30, 10, 50, 20]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"value": {}}], r"result\[0\] has no 'type'"),
        ([result("videorectangle", "a", {"sequence": []})], "'videorectangle', which is no region"),
        ([result("labels", "a", {"start": 1, "end": 2, "labels": ["x"]})], "no region of an image"),
        ([result("vectorlabels", "a", {"vertices": []})], "no region of an image"),
        ([result("labels", "a", {"labels": ["x"]})], "has labels, and no region"),
        ([result("magic", "a", {"wand": 1})], "'magic', which is not known"),
        ([rectangle("a", image_rotation=90)], "turned in the editor .image_rotation 90"),
        (
            [rectangle("a"), rectangle("b", to_name="other")],
            r"several images, \['image', 'other'\]",
        ),
        ([rectangle("a"), rectangle("b", original_width=9)], "images of several sizes"),
        ([result("rectangle", "a", {"x": 0, "y": "1", "width": 9, "height": 9})], "be numbers"),
        ([result("polygon", "a", {"points": [[0, 0], [9, 9]]})], "three pairs of numbers or more"),
        (
            [result("polygon", "a", {"points": [[0, 0], [9, 9], [9, 0]], "closed": False})],
            "open polygon",
        ),
        ([result("brush", "a", {"rle": [0, 1, 2]})], "rle ends before"),
        ([result("brush", "a", {"rle": [0, 0, 0, 4]})], "rle has 4 values; the 200x100 pixels"),
        ([result("brush", "a", {"rle": []}, original_width=99)], r"mask of \(99, 100\), the image"),
        ([result("brush", "a", {"rle": "abc"})], "rle must be a list of bytes"),
        (
            [result("rectangle", "a", {"x": 0, "y": 1, "width": 9, "height": 9})],
            "has no label; set phr",
        ),
    ],
)
def test_results_that_cannot_be_used(results, message):
    with pytest.raises(DataError, match=message):
        read(*results)


def test_the_latest_annotation_counts():
    old, new, skipped = (
        {"id": n, "created_at": f"2024-01-0{n}T00:00:00Z", "was_cancelled": n == 3, "result": []}
        for n in (1, 2, 3)
    )
    changed = {**old, "updated_at": "2024-02-01T00:00:00Z"}
    assert chosen_annotation({"annotations": [old, new, skipped]}) is new
    assert chosen_annotation({"annotations": [changed, new]}) is changed
    unannotated = {"annotations": [skipped], "predictions": [{"id": 4}, {"id": 5}]}
    assert chosen_annotation(unannotated) is None
    assert chosen_annotation(unannotated, predictions=True) == {"id": 5}
    assert chosen_annotation({"completions": [old]}, predictions=True) is old


def test_where_the_image_is():
    assert image_paths("s3://bucket/a/b.jpg") == ["a/b.jpg", "b.jpg"]
    assert image_paths("https://x.org/a%20b.jpg?token=c/d.jpg") == ["a b.jpg"]
    assert image_paths("C:\\data\\a.jpg")[-1] == "a.jpg"
    assert image_paths("../../etc/a.jpg") == ["etc/a.jpg", "a.jpg"]
    assert image_reference({"data": {"photo": "/x/a.JPG", "name": "a"}}) == "/x/a.JPG"
    with pytest.raises(DataError, match="set image_key"):
        image_reference({"data": {"left": "a.jpg", "right": "b.jpg"}})


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_masks_are_read_back(seed, width, height):
    pixels = decode_mask(random_mask(seed, width, height))
    assert (decode_brush(encode_brush(pixels), (width, height)) == pixels).all()


def test_masks_as_the_editor_writes_them():
    # By hand: 8 values, five of them, 9 8 7 200 9, one by one, then a run of three of 255.
    items = [(8, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]
    items += [
        (0, 1),
        (0, 2),
        (4, 3),
        *((v, 8) for v in (9, 8, 7, 200, 9)),
        (4, 3),
        (2, 3),
        (255, 8),
    ]
    bits = "".join(f"{value:0{width}b}" for value, width in items)
    runs = list(int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8)))
    assert decode_brush(runs, (2, 1)).tolist() == [[True, True]]
    # A run of more than 65,536 values is written in parts.
    large = np.zeros((300, 400), dtype=bool)
    assert len(encode_brush(large)) == 34  # 53 bits, then 8 runs of 27
    assert not decode_brush(encode_brush(large), (400, 300)).any()


@given(annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(annotation):
    task = json.loads(json.dumps(to_labelstudio(annotation, "a.png")))
    record = read_labelstudio(chosen_annotation(task), lambda: annotation.image_size)
    found = read_record(record, annotation.image_size)
    assert found.absent == annotation.absent
    kept = [i for i in annotation.instances if not np.isnan(extent(i)).any()]
    assert len(kept) == len(found.instances)
    for one, other in zip(kept, found.instances, strict=True):
        assert (other.phrase, other.text, other.ignore, other.score) == (
            one.phrase,
            one.text,
            one.ignore,
            one.score,
        )
        assert {k: v for k, v in other.extra.items() if k != "id"} == {
            k: v for k, v in one.extra.items() if k != "id"
        }
        for name in ("point", "polygon", "mask"):
            assert (getattr(other, name) is None) == (getattr(one, name) is None)
        if one.mask is not None:
            assert plain(Annotation(SIZE, [Instance("", mask=one.mask)])) == plain(
                Annotation(SIZE, [Instance("", mask=other.mask)])
            )
        for name in ("point", "polygon"):
            if getattr(one, name) is not None:
                np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-9)
        if one.bbox is not None or has_outline(one):
            np.testing.assert_allclose(extent(other), extent(one), rtol=1e-5, atol=1e-6)
        if one.keypoints is not None:
            assert other.keypoints is not None
            assert other.keypoints["left ear"] is None
            np.testing.assert_allclose(other.keypoints["nose"], one.keypoints["nose"], atol=1e-9)


def test_predictions_to_be_corrected():
    cups = [Instance("cup", bbox=[0, 0, 9, 9], score=s) for s in (0.5, 1.0)]
    task = to_labelstudio(Annotation((20, 10), cups), "a.png", model_version="rexkit")
    [prediction] = task["predictions"]
    assert (prediction["score"], prediction["model_version"]) == (0.75, "rexkit")
    assert [r["score"] for r in prediction["result"]] == [0.5, 1.0]
    assert "annotations" not in task


def test_the_config_has_all_that_is_written():
    instances = [
        Instance("cup", bbox=[0, 0, 9, 9], keypoints={"rim": [1, 1]}, text="A"),
        Instance("a & b", polygon=[[0, 0], [9, 0], [9, 9]], ignore=True),
    ]
    config = LabellingConfig()
    config.add(to_labelstudio(Annotation((20, 10), instances, ["dog"]), "a.png"))
    xml = config.xml()
    for part in (
        '<RectangleLabels name="box" toName="image">\n    <Label value="cup" />',
        '<PolygonLabels name="polygon" toName="image">\n    <Label value="a &amp; b" />',
        '<KeyPointLabels name="point" toName="image">\n    <Label value="rim" />',
        '<TextArea name="text" toName="image" perRegion="true" editable="true" />',
        '<Choices name="absent" toName="image" choice="multiple">\n    <Choice value="dog" />',
    ):
        assert part in xml
