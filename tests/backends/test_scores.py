"""Scores: from the probabilities of tokens to the confidence of instances."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from rexkit.backends import Generation, Request, TransformersBackend, confidences, with_scores
from rexkit.backends.backend import BinStatistics
from rexkit.backends.recorder import NEAR, Recorder
from rexkit.datasets import ShapesDataset
from rexkit.geometry import box_iou
from rexkit.grammar import read, write
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models import TinyVLM
from rexkit.structures import Annotation, Example, Instance, Question, Sample
from rexkit.tasks import GroundingTask, QuestionArguments

SIZE = (999, 999)


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM()


@pytest.fixture(scope="module")
def vocabulary(vlm) -> Vocabulary:
    return Vocabulary.from_tokenizer(vlm.tokenizer)


@pytest.fixture(scope="module")
def generated(vlm):
    """Return requests, their ground truth and the completions of the trained model."""
    images = ShapesDataset(100, seed=41, num_objects=(2, 5), object_size=(0.12, 0.35))
    task = GroundingTask()
    requests, targets = [], []
    for number in range(len(images)):
        sample = images[number]
        question = task.question(
            sample.annotation.image_size, QuestionArguments(sample.annotation.phrases)
        )
        requests.append(Request(sample.image, question.prompt, task.answer_form(question)))
        targets.append(sample.annotation)
    backend = TransformersBackend(
        vlm, batch_size=100, max_new_tokens=90, presence="marginal", constrain=True
    )
    return requests, targets, backend.generate(requests)


def test_log_probabilities_are_those_of_a_forward_pass(vlm, generated):
    requests, _, generations = generated
    for request, completion in list(zip(requests, generations, strict=True))[:3]:
        target = Annotation(request.image.size)
        question = Question(request.prompt, [], "t")
        example = Example(Sample(request.image, target, "s"), question, completion.text, target)
        batch = vlm.encoder.examples([example])
        labels = batch.pop("labels")[0]
        with torch.no_grad():
            logits = vlm.model(**batch).logits[0].float()
        logits[:, vlm.forbidden_ids()] = -torch.inf
        places = (labels >= 0).nonzero()[:, 0]
        expected = logits.log_softmax(1)[places - 1, labels[places]]
        assert labels[places].tolist() == completion.token_ids
        assert completion.logprobs == pytest.approx(expected.numpy(), abs=1e-3)


def test_statistics_are_of_the_distribution_over_bins(vocabulary):
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 3, (2, vocabulary.size))).float()
    taken = torch.from_numpy(vocabulary.coordinates[[10, 500], None])
    recorder = Recorder(vocabulary)
    bound = logits.clone()
    recorder(torch.tensor([[1], [1]]), bound)
    others = torch.ones_like(bound, dtype=torch.bool).scatter_(1, taken, False)
    bound[others] = -torch.inf  # as a constraint does, in place
    recorder.finish(taken)
    for row, at in enumerate((10, 500)):
        logprobs, bins = recorder.row(row, 1)
        p = torch.softmax(logits[row].double(), 0).numpy()
        q = p[vocabulary.coordinates]
        share, numbers = q / q.sum(), np.arange(1000)
        near = np.where(abs(numbers - at) <= NEAR, share, 0)
        mean, near_mean = share @ numbers, near @ numbers / near.sum()
        expected = {
            "none": p[vocabulary.none[0]],
            "coordinate": q.sum(),
            "mean": mean,
            "spread": np.sqrt(share @ (numbers - mean) ** 2),
            "near": near.sum(),
            "near_mean": near_mean,
            "near_spread": np.sqrt(near @ (numbers - near_mean) ** 2 / near.sum()),
        }
        assert np.exp(logprobs[0]) == pytest.approx(p[vocabulary.coordinates[at]], rel=1e-3)
        found = {f.name: getattr(bins, f.name)[0] for f in fields(bins)}
        assert found == pytest.approx(expected, rel=1e-3)


def generation(vlm, text, logprob=-0.1, **bins) -> Generation:
    """A completion whose tokens have one log-probability, and falling ones for coordinates."""
    ids = vlm.tokenizer(text, add_special_tokens=False).input_ids
    length = len(ids)
    statistics = {
        "none": np.full(length, 0.1),
        "coordinate": np.full(length, 0.9),
        "mean": np.full(length, 3.0),
        "spread": np.arange(length, dtype=float),
        "near": np.linspace(0.9, 0.1, length),
        "near_mean": np.full(length, 400.25),
        "near_spread": np.full(length, 2.0),
    }
    return Generation(
        text, ids, 9, 0.1, False, np.full(length, logprob), BinStatistics(**(statistics | bins))
    )


def test_every_item_has_the_score_of_its_own_tokens(vlm, vocabulary):
    found = [Instance("cup", bbox=np.array([10.0, 20, 30, 40]) + 9 * i) for i in range(2)]
    found.append(Instance("dog", bbox=np.array([1.0, 2, 3, 4])))
    text = write(found, SIZE, phrases=["cup", "cat", "dog"])
    completion = generation(vlm, text)
    first, second, dog = confidences(read(text, SIZE), completion, vocabulary)
    at = [i for i, token in enumerate(completion.token_ids) if token in vocabulary.bin_of]
    near = completion.bins.near
    assert first.presence == pytest.approx(0.9)
    assert first.localisation == pytest.approx(np.exp(np.log(near[at[:4]]).mean()))
    assert first.score == pytest.approx(first.presence * first.localisation)
    assert second.presence == pytest.approx(np.exp(-0.1))
    assert second.localisation == pytest.approx(np.exp(np.log(near[at[4:8]]).mean()))
    assert dog.presence == pytest.approx(0.9)
    assert dog.spread.tolist() == [float(i) for i in at[8:]]


def test_tokens_alone_give_scores_too(vlm, vocabulary):
    text = write([Instance("cup", point=np.array([10.0, 20]))], SIZE)
    completion = replace(generation(vlm, text, -0.5), bins=None)
    (cup,) = confidences(read(text, SIZE), completion, vocabulary)
    assert (cup.presence, cup.score) == pytest.approx((1.0, np.exp(-0.5)))
    assert cup.expected.tolist() == [10.0, 20.0]
    unknown = replace(completion, logprobs=None)
    assert confidences(read(text, SIZE), unknown, vocabulary) == [None]
    assert with_scores(read(text, SIZE), unknown, vocabulary).instances[0].score is None


def test_scores_stay_with_their_items_when_others_cannot_be_read(vlm, vocabulary):
    text = (
        "<|object_ref_start|>sign <5><|object_ref_end|><|box_start|>"
        "<9><9><2><2>,<1><2><3>,<10><20><30><40><|box_end|>"
    )
    completion = generation(vlm, text)
    prediction = read(text, SIZE)
    assert {p.kind for p in prediction.problems} == {"inverted_box", "odd_coordinates"}
    inverted, box = confidences(prediction, completion, vocabulary)
    at = [i for i, token in enumerate(completion.token_ids) if token in vocabulary.bin_of]
    assert inverted.spread.tolist() == at[1:5]
    assert box.spread.tolist() == at[8:]


def test_no_score_where_the_tokens_are_not_those_of_the_instance(vlm, vocabulary):
    text = write([Instance("cup", bbox=np.array([10.0, 20, 30, 40]))], SIZE)
    prediction = read(text.replace("<30>", "<31>"), SIZE)
    assert confidences(prediction, generation(vlm, text), vocabulary) == [None]


def test_keypoints_have_scores_of_their_own(vlm, vocabulary):
    points = {"nose": np.array([5.0, 6]), "eye": None, "ear": np.array([7.0, 8])}
    beings = [
        Instance("person", bbox=np.array([0.0, 0, 50 + i, 50]), keypoints=points) for i in range(2)
    ]
    text = write(beings, SIZE)
    completion = generation(vlm, text)
    scored = with_scores(read(text, SIZE), completion, vocabulary, sub_bin=True)
    for being in scored.instances:
        assert set(being.extra["keypoint_scores"]) == {"nose", "ear"}
        assert being.keypoints["eye"] is None
        assert being.keypoints["ear"] == pytest.approx([400.25, 400.25])
    falling = [s for i in scored.instances for s in (i.score, *i.extra["keypoint_scores"].values())]
    assert falling[0] > falling[1] > falling[2] > falling[3] > falling[4] > falling[5]


def test_a_transcription_counts_for_what_its_tokens_are_worth(vlm, vocabulary):
    text = write(
        [Instance("word", point=np.array([1.0, 2]), text="hey")], SIZE, transcription="phrase"
    )
    prediction = read(text, SIZE, transcription="phrase")
    completion = generation(vlm, text, -0.7)
    (word,) = confidences(prediction, completion, vocabulary)
    assert word.presence == pytest.approx(0.9 * np.exp(-0.7))


def test_the_score_separates_correct_boxes_from_wrong_ones(vocabulary, generated):
    _, targets, generations = generated
    right, wrong = [], []
    moved = []
    for target, completion in zip(targets, generations, strict=True):
        prediction = read(completion.text, target.image_size)
        scored = with_scores(prediction, completion, vocabulary)
        fine = with_scores(prediction, completion, vocabulary, sub_bin=True)
        for instance, finer in zip(scored.instances, fine.instances, strict=True):
            assert 0 <= instance.score <= 1
            moved.append(np.abs(instance.bbox - finer.bbox).max())
            overlap = box_iou(instance.bbox[None], target.boxes(instance.phrase))
            hit = overlap.size > 0 and overlap.max() >= 0.5
            (right if hit else wrong).append(instance.score)
    assert len(wrong) > 5
    assert np.mean(np.array(right)[:, None] > np.array(wrong)) > 0.7
    assert 0 < np.max(moved) <= (NEAR + 1) / 999 * 128
