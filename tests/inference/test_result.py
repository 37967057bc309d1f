"""`Result`: what it exports is the prediction, under the name of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageShow

from rexkit import formats
from rexkit.errors import DataError
from rexkit.inference.result import Result
from rexkit.structures import Instance, Prediction

SIZE = (200, 100)
CUP = Instance("cup", bbox=np.array([10.0, 20, 50, 80]), score=0.5)
DOG = Instance("dog", bbox=np.array([60.0, 10, 190, 90]), score=0.25)
WORD = Instance("word", polygon=np.array([[0.0, 4], [10, 0], [12, 8], [0, 9]]), text="Hi")
SPOT = Instance("spot", point=np.array([7.0, 8.0]))
PERSON = Instance(
    "person",
    bbox=np.array([0.0, 0, 100, 100]),
    keypoints={"nose": np.array([3.0, 4.0]), "left eye": None, "right eye": np.array([5.0, 6.0])},
)


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "deep" / "a.png"
    path.parent.mkdir()
    Image.new("RGB", SIZE, "gray").save(path)
    return path


def result(source: Path, *instances: Instance) -> Result:
    found = Prediction(SIZE, list(instances), ["nothing"])
    return Result(source, "detection", image_size=SIZE, prediction=found)


def test_to_coco_names_the_image_and_has_every_instance(image):
    coco = result(image, CUP, DOG, SPOT).to_coco(image_id=7)
    assert coco["images"] == [{"id": 7, "file_name": str(image), "width": 200, "height": 100}]
    boxes = [(a["image_id"], a["category_id"], a.get("bbox")) for a in coco["annotations"]]
    assert boxes == [(7, 1, [10, 20, 40, 60]), (7, 2, [60, 10, 130, 80]), (7, 3, None)]
    assert [a.get("score") for a in coco["annotations"]] == [0.5, 0.25, None]
    assert [c["name"] for c in coco["categories"]] == ["cup", "dog", "spot", "nothing"]
    assert result(image).to_coco()["images"][0]["id"] == 1


def test_to_labelme_names_the_image_as_its_editor_does(image):
    record = result(image, CUP, WORD).to_labelme()
    assert record["imagePath"] == "a.png"  # beside it, not where it was read from
    assert (record["imageWidth"], record["imageHeight"]) == SIZE
    shapes = [(s["label"], s["shape_type"], s["points"]) for s in record["shapes"]]
    assert shapes == [
        ("cup", "rectangle", [[10, 20], [50, 80]]),
        ("word", "polygon", WORD.polygon.tolist()),
    ]
    assert record["shapes"][1]["description"] == "Hi"


def test_show_opens_the_drawn_image_in_the_viewer(image, monkeypatch):
    shown = []

    class Viewer(ImageShow.Viewer):
        def show(self, shown_image, **options):
            shown.append((shown_image.copy(), options["title"]))
            return True

    monkeypatch.setattr(ImageShow, "_viewers", [Viewer()])  # Pillow has no way to take one out
    found = result(image, CUP)
    found.show()
    [(shown_image, title)] = shown
    assert title == str(image)
    assert shown_image.tobytes() == found.draw().tobytes()
    pixels = np.asarray(shown_image.convert("RGB"), int)
    corners = np.argwhere(np.abs(pixels[:100, :200] - 128).sum(2) > 30)
    (top, left), (bottom, right) = corners.min(0), corners.max(0)
    assert left <= 11
    assert top <= 21
    assert right >= 48
    assert bottom >= 78


def test_what_was_not_answered_cannot_be_converted(image):
    failed = Result(image, "detection", error="no image")
    for convert in (failed.to_coco, failed.to_labelme, failed.show, failed.to_supervision):
        with pytest.raises(DataError, match="no image"):
            convert()


def test_to_supervision_of_boxes_and_polygons(image):
    supervision = pytest.importorskip("supervision")
    found = result(image, CUP, DOG, CUP).to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == [CUP.bbox.tolist(), DOG.bbox.tolist(), CUP.bbox.tolist()]
    assert found.class_id.tolist() == [0, 1, 0]
    assert list(found["class_name"]) == ["cup", "dog", "cup"]
    assert found.confidence.tolist() == [0.5, 0.25, 0.5]
    assert found[found.confidence > 0.3].class_id.tolist() == [0, 0]
    drawn = supervision.BoxAnnotator().annotate(Image.new("RGB", SIZE), found)
    assert np.argwhere(np.asarray(drawn).any(2)).min(0).tolist() == pytest.approx([10, 10], abs=2)
    word = result(image, WORD).to_supervision()
    assert word.xyxy.tolist() == [[0, 0, 12, 9]]
    assert word.confidence is None  # not every instance has a score
    assert word["polygon"][0].tolist() == WORD.polygon.tolist()
    assert len(result(image).to_supervision()) == 0


def test_to_supervision_of_points_and_keypoints(image):
    supervision = pytest.importorskip("supervision")
    points = result(image, SPOT, SPOT).to_supervision()
    assert isinstance(points, supervision.KeyPoints)
    assert points.xy.tolist() == [[[7, 8]], [[7, 8]]]
    person = result(image, PERSON).to_supervision()
    assert person.xy.tolist() == [[[3, 4], [0, 0], [5, 6]]]
    assert person.class_id.tolist() == [0]
    assert list(person["class_name"]) == ["person"]


def test_without_supervision_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        formats.to_supervision(Prediction(SIZE, [CUP], []))
