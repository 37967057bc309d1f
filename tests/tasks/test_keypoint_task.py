"""Keypoints end to end: files, question, response, metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from rexkit.datasets import CocoDataset, StickFiguresDataset
from rexkit.errors import DataError
from rexkit.grammar import read
from rexkit.grammar.bins import to_bins, to_pixels
from rexkit.keypoints import SCHEMAS, find_schema
from rexkit.metrics import KeypointAP, KeypointPCK
from rexkit.structures import Annotation, Instance, Prediction, Sample
from rexkit.tasks import KeypointTask, QuestionArguments

PARTS = ("eye", "ear", "front elbow", "back elbow", "front knee", "back knee")
PAWS = ("front paw", "back paw")
ANIMALPOSE = {
    "name": "animalpose",
    "keypoints": [
        *("left eye", "right eye", "left ear", "right ear", "nose", "throat", "root of tail"),
        *("withers", "left front elbow", "right front elbow", "left back elbow"),
        *("right back elbow", "left front knee", "right front knee", "left back knee"),
        *("right back knee", "left front paw", "right front paw", "left back paw"),
        "right back paw",
    ],
    "skeleton": [["nose", "throat"], ["throat", "withers"], ["withers", "root of tail"]],
    "sigmas": 0.05,
    "pairs": [[f"left {part}", f"right {part}"] for part in (*PARTS, *PAWS)],
    "aliases": {
        **{"L_EarBase": "left ear", "R_EarBase": "right ear", "TailBase": "root of tail"},
        **{
            f"{side[0].upper()}_{end[0].upper()}_{part}": f"{side} {end} {part}"
            for side in ("left", "right")
            for end in ("front", "back")
            for part in ("elbow", "knee", "paw")
        },
    },
}


@pytest.fixture(autouse=True)
def own_schemas(monkeypatch):
    """Schemas added in a test are gone after it."""
    monkeypatch.setattr("rexkit.keypoints.SCHEMAS", dict(SCHEMAS))


def rng():
    return np.random.default_rng(0)


def being(phrase="person", schema="person", box=(10, 10, 50, 90), **known):
    places = {
        name: np.array([20.0 + i, 30.0]) for i, name in enumerate(find_schema(schema).keypoints)
    }
    return Instance(phrase, bbox=np.array(box, dtype=float), keypoints=places, **known)


def sample(*instances, absent=()):
    return Sample(Image.new("RGB", (100, 100)), Annotation((100, 100), instances, absent), "here:1")


def test_the_question_is_the_public_one():
    names = ", ".join(SCHEMAS["person"].keypoints)
    prompt = (
        "Can you detect each person in the image using a [x0, y0, x1, y1] box format, and then "
        f"provide the coordinates of its {names} as [x0, y0]? Output the answer in JSON format."
    )
    task = KeypointTask()
    assert task.question((100, 100)).prompt == prompt
    example = task.example(sample(being()), rng(), training=False)
    assert (example.prompt, example.phrases, example.task) == (prompt, ["person"], "keypoint")


def test_a_phrase_may_differ_from_the_schema():
    question = KeypointTask().question((9, 9), QuestionArguments(["cat"], keypoint_type="animal"))
    assert question.phrases == ["cat"]
    assert "each cat in" in question.prompt
    assert "of its left eye, right eye, nose, neck, root of tail," in question.prompt
    assert KeypointTask().question((9, 9), QuestionArguments(keypoint_type="hand")).phrases == [
        "hand"
    ]
    with pytest.raises(ValueError, match="'animals'; did you mean 'animal'"):
        KeypointTask().question((9, 9), QuestionArguments(keypoint_type="animals"))
    with pytest.raises(ValueError, match="visual_prompt_boxes"):
        KeypointTask().question((9, 9), QuestionArguments(visual_prompt_boxes=[[0, 0, 1, 1]]))


def test_the_answer_is_json_with_every_keypoint_in_order():
    first, second = being(box=(50, 0, 90, 90)), being(box=(5, 0, 45, 90))
    first.keypoints = {"left eye": None, "nose": np.array([50.0, 50.0])}
    text = KeypointTask().example(sample(first, second), rng(), training=False).response
    response = json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
    assert list(response) == ["person1", "person2"]
    assert response["person1"]["bbox"] == " <499> <0> <899> <899> "
    points = response["person1"]["keypoints"]
    assert list(points) == list(SCHEMAS["person"].keypoints)
    assert points["nose"] == " <499> <499> "
    assert {points[name] for name in points if name != "nose"} == {"unvisible"}
    ordered = KeypointTask(left_to_right=True).example(sample(first, second), rng(), False)
    assert [i.bbox[0] < 10 for i in read(ordered.response, (100, 100)).instances] == [True, False]


def test_who_is_not_labelled_is_ignored_and_not_denied():
    unlabelled, crowd = being(box=(50, 0, 90, 90)), being(box=(0, 0, 9, 9), ignore=True)
    unlabelled.keypoints = dict.fromkeys(SCHEMAS["person"].keypoints)
    example = KeypointTask().example(sample(being(), unlabelled, crowd), rng(), training=False)
    assert len(read(example.response, (100, 100)).instances) == 1
    assert [i.ignore for i in example.target.instances] == [False, True, True]
    assert example.target.instances[1].extra == {"iscrowd": False}
    with pytest.raises(DataError, match=r"here:1: KeypointTask has nothing to ask for"):
        KeypointTask().example(sample(unlabelled, crowd), rng(), training=False)


def test_what_is_not_there_is_answered_with_empty_json():
    example = KeypointTask().example(sample(absent=["person"]), rng(), training=False)
    assert example.response == "```json\n{}\n```"
    prediction = read(example.response, (100, 100))
    assert (len(prediction.instances), len(prediction.problems)) == (0, 0)


def test_a_box_alone_is_not_asked_about():
    cup = Instance("cup", bbox=np.array([0.0, 0, 9, 9]))
    assert KeypointTask().example(sample(cup, being()), rng(), True).phrases == ["person"]


def test_keypoints_of_another_schema_are_an_error():
    with pytest.raises(DataError, match=r"here:1: 'neck' of a 'cat' is not a keypoint .*'person'"):
        KeypointTask().example(sample(being("cat", "animal")), rng(), training=False)


def test_templates_have_both_placeholders():
    with pytest.raises(ValueError, match=r"the placeholder \{keypoints\}"):
        KeypointTask(templates=["Detect {phrases}."])


def coco(tmp_path, **change):
    person = {"image_id": 1, "category_id": 1, "id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    person["keypoints"] = [5, 6, 2, 0, 0, 0, 7, 8, 1]
    names = {"keypoints": ["tip", "left_side", "right_side"]}
    data = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{**person, **change}],
        "categories": [{"id": 1, "name": "leaf", **names}, {"id": 2, "name": "tree"}],
    }
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "coco.json").write_text(json.dumps(data))
    return tmp_path / "coco.json"


LEAF = {"name": "leaf", "keypoints": ["tip", "left side", "right side"], "sigmas": 0.1}


def test_labelled_and_hidden_keypoints_have_a_place(tmp_path):
    (leaf,) = CocoDataset(coco(tmp_path), keypoints=LEAF)[0].annotation.instances
    assert leaf.keypoints["tip"].tolist() == [5, 6]
    assert leaf.keypoints["left side"] is None
    assert leaf.keypoints["right side"].tolist() == [7, 8]
    assert "keypoints" not in leaf.extra


def test_files_that_do_not_fit_the_schema_are_named(tmp_path):
    with pytest.raises(DataError, match=r"coco.json: category 'leaf': .*has 17 keypoints.* has 3"):
        CocoDataset(coco(tmp_path), keypoints="person")
    dataset = CocoDataset(coco(tmp_path, keypoints=[1, 2]), keypoints=LEAF)
    with pytest.raises(
        DataError, match=r"image 1.*keypoints must be 3 times x, y, v; got \[1, 2\]"
    ):
        dataset[0]


REAL = [
    ("person", "person", 6, 1),
    ("animal", "animal", 1, 0),
    ("animal_animalpose", ANIMALPOSE, 2, 0),
    ("hand", "hand", 3, 0),
    ("hand_freihand", "hand", 4, 0),
]


@pytest.mark.parametrize(("folder", "schema", "beings", "unlabelled"), REAL)
def test_the_truth_as_the_answer_is_right_but_for_binning(
    shared_data, folder, schema, beings, unlabelled
):
    place = shared_data / "keypoints" / folder
    data = CocoDataset(place / "annotations.json", place / "images", keypoints=schema)
    task = KeypointTask(schema)
    pck, ap, finest = KeypointPCK(), KeypointAP(), KeypointPCK([0.01])
    seen = ignored = 0
    for index in range(len(data)):
        example = task.example(data[index], rng(), training=False)
        size = example.target.image_size
        prediction = read(example.response, size)
        assert not prediction.problems
        wanted = [i for i in example.target.instances if not i.ignore]
        seen += len(example.target.instances)
        ignored += len(example.target.instances) - len(wanted)
        for found, true in zip(prediction.instances, wanted, strict=True):
            assert list(found.keypoints) == list(true.keypoints)
            for name, xy in true.keypoints.items():
                if xy is None:
                    assert found.keypoints[name] is None
                else:
                    assert np.array_equal(found.keypoints[name], to_pixels(to_bins(xy, size), size))
                    assert (np.abs(found.keypoints[name] - xy) <= np.array(size) / 999).all()
        for metric in (pck, ap, finest):
            metric.add(prediction, example.target)
    assert (seen, ignored) == (beings, unlabelled)
    assert set(pck.compute().values()) == {1.0}
    assert finest.compute() == {"pck@0.01": 1.0}
    values = ap.compute()
    for name in ("oks_ap", "oks_ap50", "oks_ap75", "oks_ar"):
        assert values[f"{name}[score=constant]"] == pytest.approx(1.0, abs=1e-9)


def test_figures_go_the_same_way():
    data, task, pck = (
        StickFiguresDataset(10, num_figures=(1, 2)),
        KeypointTask("figure"),
        KeypointPCK(),
    )
    for index in range(10):
        example = task.example(data[index], rng(), training=True)
        pck.add(read(example.response, example.target.image_size), example.target)
    assert set(pck.compute().values()) == {1.0}


def test_an_empty_answer_is_wrong():
    pck = KeypointPCK()
    pck.add(Prediction((100, 100)), sample(being()).annotation)
    assert set(pck.compute().values()) == {0.0}


def test_keypoints_of_rows_may_be_spelled_as_files_do():
    plain_names = being()
    spelled = {n.replace(" ", "_").upper(): xy for n, xy in plain_names.keypoints.items()}
    one, other = (
        KeypointTask().example(
            sample(Instance("person", bbox=[10, 10, 50, 90], keypoints=k)), rng(), False
        )
        for k in (plain_names.keypoints, spelled)
    )
    assert one.response == other.response
    for stranger, message in (
        ({"head_top": [1, 2]}, "'head_top' of a 'person' is not a keypoint"),
        ({"left_eye": [1, 2], "LeftEye": None}, "two keypoints of a 'person' are the same one"),
    ):
        with pytest.raises(DataError, match=message):
            KeypointTask().example(
                sample(Instance("person", bbox=[1, 1, 9, 9], keypoints=stranger)), rng(), False
            )
