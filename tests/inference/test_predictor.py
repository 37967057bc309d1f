"""`Predictor`: arguments, order, laziness, results; with a backend that responds by rule."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import rexkit
from rexkit.backends import Backend, Generation, Request, model_source
from rexkit.datasets.coco_dataset import CocoDataset
from rexkit.errors import ConfigError, DataError, UserError
from rexkit.formats.coco import to_coco
from rexkit.formats.labelme import to_labelme
from rexkit.inference.predictor import Predictor
from rexkit.models import TinyVLM
from rexkit.structures import Instance, Prediction
from rexkit.tasks import GroundingTask
from rexkit.tasks.named import task_named, task_names

CUP = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>"


class Rule(Backend):
    """Answers every detection with one cup as large as the image, pointing with its middle."""

    image_processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 50176})

    def __init__(self):
        self.batches: list[list[Request]] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.batches.append(list(requests))
        texts = [
            CUP.replace("<0><0><999><999>", "<500><500>") if "Point" in r.prompt else CUP
            for r in requests
        ]
        return [Generation(t, [1, 2, 3], 10, 0.5, False) for t in texts]


@pytest.fixture
def rule() -> Rule:
    return Rule()


@pytest.fixture
def predictor(rule) -> Predictor:
    return Predictor("none", rule)


def blank(width: int = 80, height: int = 60) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), 90, np.uint8))


def test_one_image_and_its_result(predictor):
    [result] = predictor.predict(blank(1000, 500), categories=["cup"])
    assert result.success
    assert result.image_size == (1000, 500)
    assert result.resized_size == (308, 140)  # 28-pixel cells within 50,176 pixels
    assert predictor.backend.batches[0][0].image.size == (308, 140)
    assert result.prompt.startswith("Detect cup.")
    assert result.instances[0].bbox.tolist() == [0, 0, 1000, 500]
    assert (result.text, list(result.problems), result.truncated) == (CUP, [], False)
    assert result.tokens_per_second == 6
    assert result.image.size == (1000, 500)


def test_clear_pixels_have_the_colour_that_is_set(rule):
    clear = Image.new("RGBA", (80, 60))
    for options, color in (({}, (255, 255, 255)), ({"background": "red"}, (255, 0, 0))):
        predictor = Predictor("none", rule, **options)
        [result] = predictor.predict(clear, categories="cup")
        assert rule.batches[-1][0].image.getpixel((9, 9)) == color
        assert result.image.getpixel((9, 9)) == color


def test_the_record_of_the_public_wrapper(predictor):
    record = predictor.predict(blank(), categories="cup")[0].to_dict()
    assert set(record) == {
        *("success", "image_size", "resized_size", "task", "prompt", "raw_output"),
        *("extracted_predictions", "inference_time", "num_output_tokens", "num_prompt_tokens"),
        *("generation_time", "tokens_per_second"),
    }
    assert record["extracted_predictions"] == {
        "cup": [{"type": "box", "coords": [0.0, 0.0, 80.0, 60.0]}]
    }
    assert (record["num_prompt_tokens"], record["num_output_tokens"]) == (10, 3)
    assert record["generation_time"] == 0.5 < record["inference_time"]
    json.dumps(record)


def test_scalars_broadcast_and_lists_go_per_image(predictor):
    results = predictor.predict(
        [blank(), blank(30, 30), blank(50, 20)],
        task=["detection", "pointing", "detection"],
        categories=[["cup"], ["dog", "cat"], "cup"],
    )
    assert [r.task for r in results] == ["detection", "pointing", "detection"]
    assert [r.phrases for r in results] == [["cup"], ["dog", "cat"], ["cup"]]
    assert [r.image_size for r in results] == [(80, 60), (30, 30), (50, 20)]
    assert results[1].instances[0].point is not None
    assert len(predictor.backend.batches) == 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("task", ["detection"]),
        ("categories", [["cup"], ["dog"], ["cat"]]),
        ("keypoint_type", [None]),
        ("visual_prompt_boxes", [[[0, 0, 1, 1]], [[0, 0, 1, 1]], None]),
    ],
)
def test_a_wrong_length_names_the_argument(predictor, argument, value):
    with pytest.raises(UserError, match=f"{argument}: a list of {len(value)} for 2 images"):
        predictor.predict([blank()] * 2, **({"categories": "cup"} | {argument: value}))
    images = iter([blank()] * 2)  # its length shows only when one of the two ends
    with pytest.raises(UserError, match=f"{argument}: a list of {len(value)}"):
        predictor.predict(images, **({"categories": "cup"} | {argument: value}))


def test_an_endless_iterator_is_read_as_needed(predictor):
    read = []

    def camera():
        for number in itertools.count():
            read.append(number)
            yield np.full((40, 40 + number, 3), 7, np.uint8)

    results = predictor.predict_iter(camera(), categories=["cup"], batch_size=2)
    assert [r.image_size[0] for r in itertools.islice(results, 5)] == [40, 41, 42, 43, 44]
    assert len(read) <= 8
    results.close()


def test_questions_about_one_image_share_it(predictor):
    same = blank()
    predictor.predict([same, same, blank()], categories=[["a"], ["b"], ["c"]])
    images = [r.image for r in predictor.backend.batches[0]]
    assert images[0] is images[1]
    assert images[0] is not images[2]


def test_one_bad_image_fails_alone(predictor, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    blank().save(good)
    bad.write_text("no image")
    results = predictor.predict([good, bad, good, None], categories=["cup"])
    assert [r.success for r in results] == [True, False, True, False]
    assert "cannot be decoded" in results[1].error
    record = results[1].to_dict()
    assert (record["success"], record["extracted_predictions"]) == (False, {})
    assert record["error"] == results[1].error
    with pytest.raises(DataError, match=r"bad\.jpg: the image cannot be decoded"):
        results[1].instances  # noqa: B018
    with pytest.raises(DataError, match=r"bad\.jpg: the image cannot be decoded"):
        predictor.predict([good, bad], categories=["cup"], on_error="raise")


def test_what_is_asked_wrongly_raises(predictor):
    with pytest.raises(ConfigError, match="did you mean 'detection'"):
        predictor.predict(blank(), task="detecton", categories="cup")
    with pytest.raises(UserError, match=r"image 0 .*categories: the task 'detection' needs"):
        predictor.predict(blank())
    with pytest.raises(UserError, match=r"keypoint_type: the task 'detection' does not accept it"):
        predictor.predict(blank(), categories="cup", keypoint_type="person")
    with pytest.raises(UserError, match="images: expected an image or several"):
        predictor.predict(5, categories="cup")
    with pytest.raises(UserError, match="on_error: 'rais'; did you mean 'raise'"):
        predictor.predict(blank(), categories="cup", on_error="rais")
    assert predictor.backend.batches == []


def test_a_task_of_ones_own(predictor):
    class Polite(GroundingTask):
        templates = ("Would you please find {phrases}?",)

    [result] = predictor.predict(blank(), task=Polite(), categories="cup")
    assert result.prompt == "Would you please find cup?"
    assert type(task_named("detection")) is GroundingTask
    assert {"detection", "pointing"} <= set(task_names())


def test_a_name_that_two_tasks_say_is_an_error(monkeypatch):
    class Mine(GroundingTask):
        name = "detection"

    with monkeypatch.context() as patch:
        patch.setitem(rexkit.TASK_FNS.module_dict, "Mine", Mine)
        with pytest.raises(ConfigError, match=r"GroundingTask \(rexkit\).*Mine|Mine.*Grounding"):
            task_named("detection")


def test_unknown_backends_and_options():
    with pytest.raises(ConfigError, match="did you mean 'transformers'"):
        Predictor("tiny", "transfomers")
    with pytest.raises(
        ConfigError, match=r"accepts 'max_new_token'; did you mean 'max_new_tokens'"
    ):
        Predictor("tiny", max_new_token=3)
    with pytest.raises(ConfigError, match="temperature: the backend is built already"):
        Predictor("tiny", Rule(), temperature=1)


def test_answers_are_constrained_and_scored_as_in_testing():
    vlm = TinyVLM(None, hidden_size=64, layers=1, heads=1)
    asked = dict(task=["detection", "keypoint"], categories=[["cup", "dog"], ["person"]])
    two = [blank(), blank()]
    free = Predictor(vlm, max_new_tokens=200).predict(two, **asked)
    assert all(result.problems for result in free)  # untrained, it writes anything
    results = Predictor(vlm, max_new_tokens=200, constrain=True).predict(two, **asked)
    assert [list(result.problems) for result in results] == [[], []]
    assert results[0].valid_prediction.phrases == ["cup", "dog"]
    scores = [instance.score for result in results for instance in result.instances]
    assert scores
    assert all(score is not None and 0 <= score <= 1 for score in scores)


def test_the_embedded_model_answers_as_one_by_one():
    predictor = Predictor("tiny", max_new_tokens=24, max_pixels=128 * 128)
    assert predictor.vlm.processor.image_processor.size["longest_edge"] == 128 * 128
    images = [blank(), blank(90, 200), blank(300, 300)]
    for image in images:
        image.paste("red", (10, 10, 40, 40))
    words = [["red square"], ["blue circle", "red square"], ["green cross"]]
    together = predictor.predict(images, categories=words)
    alone = [
        predictor.predict(image, categories=phrases)[0]
        for image, phrases in zip(images, words, strict=True)
    ]
    assert [r.text for r in together] == [r.text for r in alone]
    assert all(r.prompt_tokens > 20 and r.output_tokens > 0 for r in together)
    vlm = TinyVLM(max_pixels=128 * 128)
    [again] = Predictor(vlm, max_new_tokens=24).predict(images[0], categories="red square")
    assert again.text == together[0].text


def prediction() -> Prediction:
    return Prediction(
        (200, 100),
        [
            Instance("cup", bbox=np.array([10.0, 20, 50, 80]), score=0.5),
            Instance("word", polygon=np.array([[0.0, 0], [10, 0], [10, 5], [0, 5]]), text="Hi"),
            Instance(
                "person",
                bbox=np.array([0.0, 0, 100, 100]),
                keypoints={"nose": np.array([3.0, 4.0]), "left eye": None},
            ),
            Instance("spot", point=np.array([7.0, 8.0])),
        ],
        ["dog"],
    )


def test_to_coco_is_read_back(tmp_path):
    coco = to_coco(prediction(), "a.png")
    assert [c["name"] for c in coco["categories"]] == ["cup", "word", "person", "spot", "dog"]
    assert coco["annotations"][0]["bbox"] == [10, 20, 40, 60]
    assert coco["annotations"][0]["score"] == 0.5
    assert coco["annotations"][1]["area"] == 50
    assert coco["annotations"][2]["keypoints"] == [3, 4, 2, 0, 0, 0]
    assert coco["annotations"][3]["keypoints"] == [7, 8, 2]
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    coco["annotations"] = coco["annotations"][:1]
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    sample = CocoDataset(tmp_path / "coco.json", tmp_path)[0]
    assert sample.annotation.instances[0].bbox.tolist() == [10, 20, 50, 80]


def test_to_labelme():
    record = to_labelme(prediction(), "a.png")
    assert [(s["label"], s["shape_type"]) for s in record["shapes"]] == [
        ("cup", "rectangle"),
        ("word", "polygon"),
        ("person", "rectangle"),
        ("nose", "point"),
        ("spot", "point"),
    ]
    assert record["shapes"][0]["points"] == [[10, 20], [50, 80]]
    assert record["shapes"][2]["group_id"] == record["shapes"][3]["group_id"] == 2
    assert (record["imageWidth"], record["imageHeight"]) == (200, 100)


def test_save_writes_a_image_or_a_record(predictor, tmp_path):
    [result] = predictor.predict(blank(), categories="cup")
    result.save(tmp_path / "deep" / "drawn.png")
    with Image.open(tmp_path / "deep" / "drawn.png") as drawn:
        assert drawn.width == 80
        assert len(set(drawn.convert("RGB").get_flattened_data())) > 1
    result.save(tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text())["success"] is True


def test_a_large_jpeg_is_resized_and_refers_to_its_own_size(predictor):
    pixels = np.random.default_rng(0).integers(0, 255, (75, 100, 3), np.uint8)
    large = Image.fromarray(pixels).resize((2000, 1500), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=95)
    [result] = predictor.predict(file.getvalue(), categories="cup")
    assert result.image_size == (2000, 1500)
    assert result.instances[0].bbox.tolist() == [0, 0, 2000, 1500]
    seen = predictor.backend.batches[0][0].image
    assert seen.size == result.resized_size
    full = Image.open(file).resize(seen.size, Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(seen), np.asarray(full))


@pytest.mark.parametrize("source", [None, "loaded"])
def test_a_backend_must_say_where_its_model_comes_from(source):
    members = {"generate": None} if source is None else {"generate": None, "model_source": source}
    backend = type("Vague", (Backend,), members)
    with pytest.raises(ConfigError, match=r"backend: Vague\.model_source .*'given', 'own'"):
        model_source(backend, "backend")
