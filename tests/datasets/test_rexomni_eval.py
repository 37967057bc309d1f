"""The public evaluation set: every spelling of its rows, and rows that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import RexOmniEvalDataset
from rexkit.errors import ConfigError, DataError
from rexkit.formats.phrase_geometries import encode_annotation
from rexkit.registry import DATASETS
from rexkit.structures import Annotation
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    OCRPolygonTask,
    PointingTask,
    VisualPromptTask,
)

RLE = {"size": [48, 64], "counts": [48 * 10 + 8, 20, 28, 20, 48 * 64 - 556]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Laid out as the public set: images beside ``_annotations``."""
    (tmp_path / "coco").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "coco" / "a.png")
    (tmp_path / "_annotations" / "box_eval").mkdir(parents=True)
    return tmp_path


def dataset(root: Path, *rows: object, **options) -> RexOmniEvalDataset:
    file = root / "_annotations" / "box_eval" / "COCO.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines))
    return RexOmniEvalDataset(file, **options)


def read(root: Path, **fields) -> Annotation:
    row = {"image_path": "coco/a.png", "dataset_name": "COCO", "task_name": "x", **fields}
    return dataset(root, row)[0].annotation


def test_boxes_by_category_and_what_is_not_there(root):
    annotation = read(root, gt={"cup": [[1, 2, 30, 40], [5, 5, 9, 9]]}, categories=["cup", "dog"])
    assert annotation.boxes("cup").tolist() == [[1, 2, 30, 40], [5, 5, 9, 9]]
    assert annotation.absent == ["dog"]
    for nothing in ([], None, "None", ["None"]):
        annotation = read(root, gt={"cup": [[1, 2, 3, 4]], "dog": nothing})
        assert (annotation.phrases, annotation.absent) == (["cup", "dog"], ["dog"])
    assert read(root, gt={}, categories=["cup"]).absent == ["cup"]
    assert read(root, gt={"cup": [1, 2, 3, 4]}).boxes("cup").tolist() == [[1, 2, 3, 4]]


def test_the_image_and_its_path(root):
    sample = dataset(root, {"image_name": "coco/a.png", "gt": {"cup": []}})[0]
    assert sample.image.size == (64, 48)
    assert sample.image_path == str(root / "coco" / "a.png")
    assert sample.source.endswith("COCO.jsonl:1")
    elsewhere = dataset(root, {"image_path": "a.png", "gt": {"cup": []}}, image_dir=root / "coco")
    assert elsewhere[0].image.size == (64, 48)


def test_categories_give_phrases_their_spelling(root):
    categories = ["Traffic light", "dog"]
    annotation = read(root, gt={"traffic_light": [[1, 2, 3, 4]]}, categories=categories)
    assert annotation.phrases == ["Traffic light", "dog"]


def test_transcriptions(root):
    annotation = read(root, gt={"EXIT": [[1, 2, 3, 4]], "5+1": [[5, 5, 9, 9]]}, categories=["word"])
    assert [(i.phrase, i.text) for i in annotation.instances] == [("word", "EXIT"), ("word", "5+1")]
    assert not annotation.absent


def test_points_polygons_masks_and_keypoints(root):
    annotation = read(root, gt={"a": [[3, 4]], "b": [[0, 0, 9, 0, 9, 9]]})
    assert annotation.points("a").tolist() == [[3, 4]]
    assert annotation.of("b")[0].polygon.tolist() == [[0, 0], [9, 0], [9, 9]]
    person = {"bbox": [1, 2, 30, 40], "phrase": "person1"}
    person["keypoints"] = {"nose": [5, 6], "left ear": "unvisible"}
    (found,) = read(root, gt={"person": [person]}, categories=["person"]).instances
    assert found.keypoints["nose"].tolist() == [5, 6]
    assert found.keypoints["left ear"] is None
    assert found.bbox.tolist() == [1, 2, 30, 40]


def test_masks_take_the_place_of_boxes_and_can_be_asked_for(root):
    from pycocotools import mask as coco_mask

    packed = coco_mask.frPyObjects(RLE, 48, 64)
    rle = {"size": packed["size"], "counts": packed["counts"].decode()}
    row = {"image_path": "coco/a.png", "gt": {"cup": [[0, 0, 1, 1]]}, "gt_mask": {"cup": [rle]}}
    sample = dataset(root, row)[0]
    (found,) = sample.annotation.instances
    assert found.mask["counts"] == rle["counts"]
    assert found.bbox.tolist() == [10, 8, 12, 28]
    example = PointingTask().example(sample, np.random.default_rng(0), False)
    assert example.phrases == ["cup"]


def test_gui_rows_give_one_box(root):
    annotation = read(root, gt=[1, 2, 3, 4], categories=["close the window"])
    assert annotation.boxes("close the window").tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("place", ["in gt", "beside gt"])
def test_masks_inside_gt(root, place):
    masks = {"cup": [{"size": [48, 64], "counts": RLE["counts"]}]}
    fields = {"gt": {"gt_mask": masks}} if place == "in gt" else {"gt": {}, "gt_mask": masks}
    annotation = read(root, **fields, categories=["cup", "dog"])
    (found,) = annotation.instances
    assert (found.phrase, found.bbox.tolist()) == ("cup", [10, 8, 12, 28])
    assert annotation.absent == ["dog"]
    assert annotation.extra["gt"] == masks


@pytest.mark.parametrize("folder", ["annotations", "_annotations"])
def test_images_lie_beside_the_folder_of_the_annotations(root, folder):
    file = root / folder / "point_eval" / "COCO.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"image_path": "coco/a.png", "gt": {"cup": [[1, 2, 3, 4]]}}))
    assert RexOmniEvalDataset(file)[0].image_path == str(root / "coco" / "a.png")


@pytest.mark.parametrize("nothing", [{}, [], None, {"dog": []}, {"gt_mask": {}}, {"gt_mask": None}])
@pytest.mark.parametrize(
    "task",
    [
        *(GroundingTask(), PointingTask(), KeypointTask("person")),
        *(OCRBoxTask(), OCRPolygonTask(), VisualPromptTask(reference_style="evaluation")),
    ],
    ids=lambda task: task.name,
)
def test_rows_of_absent_categories_only(root, nothing, task):
    category = "word" if task.name.startswith("ocr") else "dog"
    gt = {category: []} if nothing == {"dog": []} else nothing
    row = {"image_path": "coco/a.png", "gt": gt, "categories": [category]}
    if task.name == "visual_prompting":
        row["visual_prompt"] = {"dog": [[1, 2, 30, 40]]}
    example = task.example(dataset(root, row)[0], np.random.default_rng(0), False)
    assert (example.phrases, example.target.absent) == ([category], [category])
    assert "None" in example.response or task.name == "keypoint"


def test_tests_ask_in_the_order_of_the_row(root):
    gt = {"zebra": [[1, 2, 3, 4]], "ant": [[5, 5, 9, 9]]}
    row = {"image_path": "coco/a.png", "gt": gt, "categories": ["zebra", "cow", "ant"]}
    sample = dataset(root, row)[0]
    task = GroundingTask(templates=["Detect {phrases}."])
    example = task.example(sample, np.random.default_rng(0), False)
    assert example.prompt == "Detect zebra, cow, ant."
    assert example.target.extra["categories"] == row["categories"]
    # A category is asked for although its instances lack the geometry of the task.
    points = {**row, "gt": {"zebra": [[1, 2]], "ant": [[5, 5, 9, 9]]}}
    example = task.example(dataset(root, points)[0], np.random.default_rng(0), False)
    assert example.prompt == "Detect zebra, cow, ant."
    assert example.target.absent == ["cow"]
    # Without categories, and in training, nothing has changed.
    unlisted = dataset(root, {"image_path": "coco/a.png", "gt": gt})[0]
    assert task.example(unlisted, np.random.default_rng(0), False).phrases == ["ant", "zebra"]
    drawn = {tuple(task.example(sample, np.random.default_rng(i), True).phrases) for i in range(20)}
    assert len(drawn) > 1


def test_ocr_asks_for_the_categories_of_the_row(root):
    row = {"image_path": "coco/a.png", "gt": {"EXIT": [[1, 2, 30, 40]]}, "categories": ["text"]}
    example = OCRBoxTask().example(dataset(root, row)[0], np.random.default_rng(0), False)
    assert example.prompt == "Detect all text and recognize them."
    assert [i.text for i in example.target.instances] == ["EXIT"]


def test_every_category_of_a_visual_prompt_is_a_question_in_the_public_wording(root):
    gt = {"cup": [[0, 0, 32, 24], [8, 8, 16, 16]], "café": [[16, 0, 64, 48]], "dog": []}
    prompt = {"café": [[16, 0, 64, 48]], "cup": [[0, 0, 32, 24], [1, 1, 2, 2]]}
    row = {"image_path": "coco/a.png", "gt": gt, "visual_prompt": prompt, "task_name": "x"}
    plain = {"image_path": "coco/a.png", "gt": {"cup": [[1, 2, 3, 4]]}}
    data = dataset(root, row, plain)
    assert len(data) == 3
    assert [data[i].source.rpartition(":")[2] for i in range(3)] == ["1", "1", "2"]
    task = VisualPromptTask(
        templates=["Given reference boxes {references}."], reference_style="evaluation"
    )
    first, second, _ = (task.example(sample, np.random.default_rng(0), False) for sample in data)
    assert first.prompt == 'Given reference boxes {"caf\\u00e9": "<249><0><999><999>"}.'
    assert second.prompt == ('Given reference boxes {"cup": "<0><0><499><499>, <15><20><31><41>"}.')
    assert second.phrases == ["cup"]
    assert second.target.boxes("cup").tolist() == gt["cup"]
    assert [i.extra["reference"] for i in second.target.instances] == [True, False]
    numbers = [sample.annotation.extra["number"] for sample in data]
    assert numbers == [0, 1, 0]
    # As the wrapper asks: the boxes of the row, the name object_1.
    wrapped = VisualPromptTask().example(data[1], np.random.default_rng(0), False)
    assert '{"object_1": ["<0><0><499><499>", "<15><20><31><41>"]}' in wrapped.prompt
    assert wrapped.target.boxes("object_1").tolist() == gt["cup"]


def test_the_number_of_rows_can_be_limited(root):
    boxes = {"cup": [[0, 0, 32, 24]], "dog": [[8, 8, 16, 16]]}
    rows = [{"image_path": "coco/a.png", "gt": boxes, "visual_prompt": boxes}] * 5
    assert len(dataset(root, *rows)) == 10
    assert len(dataset(root, *rows, max_num_samples=2)) == 4
    assert len(dataset(root, *rows, max_num_samples=9, on_error="skip")) == 10
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ConfigError, match="max_num_samples: must be a whole number"):
            dataset(root, *rows, max_num_samples=wrong)


def test_keypoint_rows_without_invisible_keypoints(root):
    person = {"bbox": [1, 2, 30, 40], "keypoints": {"nose": [5, 6]}, "phrase": "person1"}
    none = {"bbox": [1, 2, 9, 9], "keypoints": {}, "phrase": "person2"}
    row = {"image_path": "coco/a.png", "gt": {"person": [person, none]}, "categories": ["person"]}
    sample = dataset(root, row)[0]
    example = KeypointTask("person").example(sample, np.random.default_rng(0), False)
    first, second = example.target.instances
    assert (first.keypoints["nose"].tolist(), first.keypoints["left eye"]) == ([5, 6], None)
    assert second.ignore
    written = encode_annotation(example.target)["person"]
    assert written[0] == {**person, "phrase": "person"}
    assert written[1]["keypoints"] == {}


def test_references_are_marked(root):
    boxes = [[1, 2, 3, 4], [5, 5, 9, 9]]
    annotation = read(root, gt={"cell": boxes}, visual_prompt={"cell": [boxes[1]]})
    assert [i.extra.get("reference", False) for i in annotation.instances] == [False, True]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("not json", "bad JSON"),
        ("[1]", "must be a JSON object"),
        ({"gt": {}}, "image_path"),
        ({"image_path": "coco/b.png", "gt": {"cup": []}}, "b.png"),
        ({"image_path": "coco/a.png", "categories": ["cup"]}, "'gt'"),
        ({"image_path": "coco/a.png", "gt": [[1, 2, 3, 4]], "categories": ["a", "b"]}, "2 categ"),
        ({"image_path": "coco/a.png", "gt": {"cup": 3}}, "list of boxes"),
        ({"image_path": "coco/a.png", "gt": {"cup": ["x"]}}, r"gt\['cup'\]\[0\]"),
        ({"image_path": "coco/a.png", "gt": {"cup": [[200, 2, 300, 4]]}}, "outside the image"),
        ({"image_path": "coco/a.png", "gt": {"cup": [[1, 2, 3]]}}, "polygon"),
        ({"image_path": "coco/a.png", "gt": {"cup": [{"size": [4, 8], "counts": "24"}]}}, "size"),
        ({"image_path": "coco/a.png", "gt": {"c": []}, "categories": "c"}, "list of phrases"),
        ({"image_path": "coco/a.png", "gt": {"c": []}, "visual_prompt": [1]}, "visual_prompt"),
    ],
)
def test_rows_that_cannot_be_used(root, row, reason):
    fine = {"image_path": "coco/a.png", "gt": {"cup": [[1, 2, 3, 4]]}}
    with pytest.raises(DataError, match=reason) as caught:
        dataset(root, fine, row)[1]
    assert caught.value.source.endswith("COCO.jsonl:2")
    usable = dataset(root, fine, row, on_error="skip")
    assert (len(usable), len(usable.skipped)) == (1, 1)


def test_our_own_results_can_be_read(root):
    pytest.importorskip("torch")
    from scripted_backend import Scripted

    from rexkit.evaluation.evaluator import evaluate
    from rexkit.examples import ExampleDataset, Source

    boxes = {"cup": [[1, 2, 30, 40]], "dog": []}
    source = dataset(root, {"image_path": "coco/a.png", "gt": boxes})
    examples = ExampleDataset([Source(source, GroundingTask(), name="COCO")])
    evaluate(Scripted(examples), examples, out_dir=root / "out")
    file = str(root / "out" / "box_eval" / "COCO" / "predictions.jsonl")
    again = DATASETS.build({"type": "RexOmniEvalDataset", "ann_file": file, "image_dir": "/"})[0]
    assert again.annotation.boxes("cup").tolist() == boxes["cup"]
    assert again.annotation.absent == ["dog"]
