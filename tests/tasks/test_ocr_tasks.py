"""OCR tasks: questions, the order of responses, and what cannot be written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rexkit.datasets import JsonlDataset, RenderedTextDataset
from rexkit.errors import DataError
from rexkit.grammar import read, to_pixels
from rexkit.phrases import SPECIAL, clean_text
from rexkit.registry import METRICS, PARSERS, TASK_FNS
from rexkit.structures import Annotation, Instance, Sample
from rexkit.tasks import OCRBoxTask, OCRPolygonTask, QuestionArguments
from rexkit.tasks.reading_order import reading_order

TASKS = [OCRBoxTask, OCRPolygonTask]
SPELLINGS = ["phrase", "inline"]


def rng(seed=0):
    return np.random.default_rng(seed)


def text(words, x0, y0, x1, y1, phrase="text", **known):
    return Instance(phrase, bbox=np.array([x0, y0, x1, y1], dtype=float), text=words, **known)


def sample(*instances, absent=()):
    annotation = Annotation((100, 100), instances, absent)
    return Sample(Image.new("RGB", (100, 100)), annotation, "here:1")


SIGN = sample(
    text("way", 60, 11, 90, 21),
    text("EXIT", 10, 40, 40, 50),
    text("One", 10, 10, 40, 20),
    text("###", 50, 40, 90, 50, ignore=True),
    text("", 5, 80, 10, 90),
)


def parsed_example(task, of):
    """Return the prediction parsed from the response of an example, and the example."""
    example = task.example(of, rng(), training=False)
    parser = PARSERS.build(task.parser)
    return parser(example.response, of.annotation.image_size), example


class TestPrompt:
    def test_the_public_words(self):
        assert OCRBoxTask().question((9, 9)).prompt == "Detect all word and recognize them."
        question = OCRPolygonTask("text line").question((9, 9))
        assert question.prompt == (
            "Can you detect all text line in this image in polygon format like "
            "[x0, y0, x1, y1, x2, y2 ...] and then recognize them?"
        )
        assert question.phrases == ["text line"]

    def test_the_public_requests(self, shared_data):
        lines = (shared_data / "rexomni_outputs" / "outputs.jsonl").read_text("utf-8").splitlines()
        (row,) = [row for row in map(json.loads, lines) if row["task"] == "ocr_polygon"]
        task = OCRPolygonTask()
        assert task.question((9, 9), QuestionArguments(row["categories"])).prompt == row["prompt"]
        prediction = PARSERS.build(task.parser)(row["raw_output"], tuple(row["image_size"]))
        assert prediction.problems == []
        texts = [i.text for i in prediction.instances]
        assert len(texts) == 8
        assert (texts[0], texts[-1]) == ("Hello Rachel,", "Diane")
        # The released weights write responses in this order.
        boxes = [np.append(i.polygon.min(0), i.polygon.max(0)) for i in prediction.instances]
        assert reading_order(boxes).tolist() == list(range(8))

    @pytest.mark.parametrize("task", TASKS)
    def test_training_draws_the_template(self, task):
        prompts = [task().example(SIGN, rng(seed), training=True).prompt for seed in range(30)]
        assert set(prompts) == {t.replace("{phrases}", "word") for t in task.templates}
        assert task().example(SIGN, rng(3), training=False).prompt == task().question((9, 9)).prompt

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (dict(level="wrod"), "level: 'wrod'"),
            (dict(transcription="after"), "transcription: 'after'"),
            (dict(templates=["Read."]), r"templates: 'Read\.'"),
        ],
    )
    def test_wrong_arguments(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            OCRBoxTask(**wrong)

    def test_what_it_has_no_use_for(self):
        with pytest.raises(ValueError, match=r"keypoint_type: the task .ocr_box"):
            OCRBoxTask().question((9, 9), QuestionArguments(keypoint_type="hand"))
        with pytest.raises(ValueError, match=r"visual_prompt_boxes: .* not accept"):
            OCRPolygonTask().question((9, 9), QuestionArguments(visual_prompt_boxes=[[0, 0, 1, 1]]))

    def test_by_name(self):
        task = TASK_FNS.build(dict(type="OCRPolygonTask", transcription="inline"))
        assert task.name == "ocr_polygon"
        assert task.parser == {"type": "SpanParser", "transcription": "inline"}


class TestAnswer:
    def test_in_place_of_the_phrase(self):
        spans = OCRBoxTask().example(SIGN, rng(), False).response.split(", ")
        assert spans == [
            "<|object_ref_start|>One<|object_ref_end|><|box_start|><99><99><399><199><|box_end|>",
            "<|object_ref_start|>way<|object_ref_end|><|box_start|><599><109><899><209><|box_end|>",
            "<|object_ref_start|>EXIT<|object_ref_end|><|box_start|><99><399><399><499><|box_end|>",
        ]

    def test_after_the_coordinates(self):
        assert OCRBoxTask(transcription="inline").example(SIGN, rng(), False).response == (
            "<|object_ref_start|>word<|object_ref_end|><|box_start|><99><99><399><199>One,"
            "<599><109><899><209>way,<99><399><399><499>EXIT<|box_end|>"
        )

    @pytest.mark.parametrize("transcription", SPELLINGS)
    def test_polygons_begin_at_the_top_left(self, transcription):
        corners = np.array([[10, 60], [50, 60], [50, 20], [10, 20]], dtype=float)
        one = Instance("text", polygon=corners, text="cup")
        prediction, example = parsed_example(
            OCRPolygonTask(transcription=transcription), sample(one)
        )
        expected = corners[[3, 2, 1, 0]]
        assert example.target.instances[0].polygon.tolist() == expected.tolist()
        (found,) = prediction.instances
        assert (found.text, found.bbox) == ("cup", None)
        assert np.abs(found.polygon - expected).max() <= 0.11
        assert one.polygon is corners  # the sample is as it was

    def test_each_geometry_from_the_other(self):
        slanted = Instance("text", polygon=np.array([[10.0, 20], [50, 10], [40, 60]]), text="a")
        box = OCRBoxTask().example(sample(slanted), rng(), False).target.instances[0]
        assert box.bbox.tolist() == [10, 10, 50, 60]
        assert box.polygon is None
        corners = OCRPolygonTask().example(sample(text("a", 1, 2, 3, 4)), rng(), False).target
        assert corners.instances[0].polygon.tolist() == [[1, 2], [3, 2], [3, 4], [1, 4]]

    def test_repeated_words_share_a_span_where_the_first_is_read(self):
        shop = sample(text("a", 1, 1, 9, 9), text("b", 20, 1, 29, 9), text("a", 40, 1, 49, 9))
        prediction, example = parsed_example(OCRBoxTask(), shop)
        assert [i.text for i in example.target.instances] == ["a", "b", "a"]
        assert [i.text for i in prediction.instances] == ["a", "a", "b"]
        prediction, _ = parsed_example(OCRBoxTask(transcription="inline"), shop)
        assert [i.text for i in prediction.instances] == ["a", "b", "a"]

    @pytest.mark.parametrize("transcription", SPELLINGS)
    def test_where_nothing_can_be_read(self, transcription):
        task = OCRBoxTask(transcription=transcription)
        prediction, example = parsed_example(task, sample())
        assert prediction.absent == example.target.absent == ["word"]
        illegible = sample(text("###", 1, 1, 9, 9, ignore=True), text("", 20, 1, 29, 9))
        prediction, example = parsed_example(task, illegible)
        assert prediction.absent == ["word"]
        assert [i.ignore for i in example.target.instances] == [True, True]
        assert example.target.absent == []

    def test_the_level(self):
        both = sample(
            text("One", 10, 10, 40, 20, "word"),
            text("way", 60, 10, 90, 20, "word"),
            text("One way", 10, 10, 90, 20, "text line"),
        )
        assert [i.text for i in parsed_example(OCRBoxTask(), both)[0].instances] == ["One", "way"]
        prediction, example = parsed_example(OCRBoxTask("text line", "inline"), both)
        assert [(i.phrase, i.text) for i in prediction.instances] == [("text line", "One way")]
        assert example.phrases == ["text line"]
        words = sample(*both.annotation.instances[:2])
        with pytest.raises(DataError, match=r"here:1.*'text line'.*only \['word'\]"):
            OCRBoxTask("text line").example(words, rng(), False)


class TestErrors:
    def test_no_text(self):
        cup = Instance("cup", bbox=np.array([1.0, 1, 9, 9]))
        with pytest.raises(DataError, match=r"here:1: ocr_box needs the text.*'cup'"):
            OCRBoxTask().example(sample(cup), rng(), True)

    def test_no_place(self):
        here = Instance("text", point=np.array([1.0, 1]), text="a")
        with pytest.raises(DataError, match="here:1: ocr_polygon needs a polygon or a bbox"):
            OCRPolygonTask().example(sample(here), rng(), True)

    @pytest.mark.parametrize("transcription", SPELLINGS)
    def test_markup_in_the_text(self, transcription):
        bad = sample(text("a<|box_end|>b", 1, 1, 9, 9))
        task = OCRBoxTask(transcription=transcription)
        with pytest.raises(DataError, match=r"here:1: ocr_box cannot write.*<\|box_end\|>"):
            task.example(bad, rng(), True)
        bad.annotation.instances[0].ignore = True
        assert parsed_example(task, bad)[0].absent == ["word"]

    @pytest.mark.parametrize("transcription", ["phrase", "inline"])
    def test_a_coordinate_in_the_text_is_markup(self, transcription):
        odd = sample(text("page <5>", 1, 1, 9, 9))
        with pytest.raises(DataError, match=r"here:1.*<5>"):
            OCRBoxTask(transcription=transcription).example(odd, rng(), True)


class TestReadingOrder:
    def test_slightly_uneven_lines(self):
        boxes = [[50, 3, 90, 13], [0, 0, 40, 10], [0, 14, 40, 24], [50, 17, 90, 27]]
        assert reading_order(boxes).tolist() == [1, 0, 2, 3]

    def test_a_tall_box_does_not_swallow_two_lines(self):
        boxes = [[50, 0, 90, 10], [50, 12, 90, 22], [0, 0, 20, 22]]
        assert reading_order(boxes).tolist() == [0, 2, 1]

    def test_slanted_lines_below_each_other(self):
        assert reading_order([[2, 12, 98, 42], [0, 0, 96, 30]]).tolist() == [1, 0]
        assert reading_order([[0, 12, 96, 42], [2, 14, 98, 44]]).tolist() == [0, 1]

    def test_nothing(self):
        assert reading_order([]).tolist() == []

    @given(st.lists(st.tuples(*[st.integers(0, 30)] * 4), max_size=12), st.randoms())
    def test_it_depends_on_the_boxes_alone(self, corners, random):
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners]).reshape(-1, 4)
        order = reading_order(boxes)
        assert sorted(order.tolist()) == list(range(len(boxes)))
        mixed = list(range(len(boxes)))
        random.shuffle(mixed)
        again = boxes[mixed][reading_order(boxes[mixed])]
        assert again.tolist() == boxes[order].tolist()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize("transcription", SPELLINGS)
@given(
    texts=st.lists(
        TEXTS | st.sampled_from([",", "a,", "None", "<", "<|", "5", "<5>", "<|im_end|>"]),
        max_size=5,
    )
)
def test_any_text_is_read_back_or_is_an_error(transcription, texts):
    places = to_pixels(np.arange(20)[: 4 * len(texts)].reshape(-1, 4) * 9, (100, 100))
    words = [text(word, *box) for word, box in zip(texts, places, strict=True)]
    task = OCRBoxTask(transcription=transcription)
    if any(SPECIAL.search(clean_text(word)) for word in texts):
        with pytest.raises(DataError, match="here:1"):
            parsed_example(task, sample(*words))
        return
    prediction, example = parsed_example(task, sample(*words))
    assert prediction.problems == []
    legible = [i for i in example.target.instances if not i.ignore]
    expected = sorted((i.text.strip(), *i.bbox.tolist()) for i in legible)
    assert sorted((i.text, *i.bbox.tolist()) for i in prediction.instances) == expected


REAL = [("icdar2015", 6), ("sroie", 5), ("wildreceipt", 1), ("totaltext", 1)]


@pytest.mark.parametrize("transcription", SPELLINGS)
@pytest.mark.parametrize("task", TASKS)
class TestGroundTruthAsResponse:
    """The ground truth as a response is parsed to itself, except for binning; metrics are 1."""

    def check(self, task, dataset, least_iou=0.8):
        metric = METRICS.build(task.metrics[0])
        number = 0
        for i in range(len(dataset)):
            of = dataset[i]
            prediction, example = parsed_example(task, of)
            assert prediction.problems == []
            metric.add(prediction, example.target)
            legible = [i for i in example.target.instances if not i.ignore]
            found = list(prediction.instances)
            assert len(found) == len(legible)
            bin_size = np.array(of.annotation.image_size) / 999
            # The order of the response is that of the target, but for repeated words.
            first = {}
            for instance in legible:
                first.setdefault(instance.text, len(first))
            if task.transcription == "phrase":
                legible.sort(key=lambda i: first[i.text])
            for one, other in zip(found, legible, strict=True):
                assert one.text == other.text
                apart = getattr(other, task.geometry) - getattr(one, task.geometry)
                apart = apart.reshape(-1, 2)
                assert (apart >= -1e-6).all()
                assert (apart <= bin_size + 1e-6).all()
                number += 1
        assert set(metric.compute().values()) == {1.0}
        return number

    @pytest.mark.parametrize(("name", "images"), REAL)
    def test_real_files(self, shared_data, task, transcription, name, images):
        dataset = JsonlDataset(shared_data / "ocr" / f"{name}.jsonl")
        assert len(dataset) == images
        level = "text line" if name == "sroie" else "word"
        assert self.check(task(level, transcription), dataset) > 0

    def test_rendered_text(self, task, transcription):
        dataset = RenderedTextDataset(
            12, seed=2, words_per_line=(1, 3), rotation=40, curvature=90, num_texts=(1, 3)
        )
        assert self.check(task("word", transcription), dataset) > 12
        assert self.check(task("text line", transcription), dataset) >= 12


def test_records_keep_the_text_where_the_phrase_does_not():
    _, example = parsed_example(OCRBoxTask(), SIGN)
    first = example.target.to_dict()["word"][0]
    assert (first["type"], first["text"]) == ("box", "One")
    prediction = read(example.response, (100, 100), transcription="phrase")
    assert "text" not in prediction.to_dict()["One"][0]
    assert replace(prediction.instances[0], phrase="word").geometries[0]["text"] == "One"
