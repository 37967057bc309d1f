"""Constrained decoding by transformers: an untrained model cannot write a wrong completion."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from rexkit.backends import Request, TransformersBackend
from rexkit.backends.constraint import ChoiceMask, GrammarConstraint
from rexkit.datasets import ShapesDataset
from rexkit.evaluation.evaluator import evaluate
from rexkit.examples import ExampleDataset, Source
from rexkit.grammar import SpanForm, read
from rexkit.grammar.constraint_state import ConstraintState
from rexkit.grammar.vocabulary import INLINE, TEXT, TEXT_VISIBLE, Choice, Vocabulary
from rexkit.models import TinyVLM
from rexkit.registry import PARSERS
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    OCRPolygonTask,
    PointingTask,
    QuestionArguments,
    VisualPromptTask,
)

SIZE = (128, 128)

THINGS = ("red circle", "blue square", "cup")
# Few keypoints, for the tiny tokenizer spells most words in bytes.
HAND = {"name": "small hand", "keypoints": ["wrist", "thumb"], "sigmas": 0.1}
TASKS = {
    "detection": GroundingTask(),
    "pointing": PointingTask(),
    "visual_prompting": VisualPromptTask(),
    "ocr_box": OCRBoxTask(),
    "ocr_polygon": OCRPolygonTask(),
    "ocr_inline": OCRBoxTask(transcription="inline"),
    "keypoint": KeypointTask(HAND),
}
ASKED = {
    "detection": {"categories": THINGS},
    "pointing": {"categories": THINGS},
    "visual_prompting": {"visual_prompt_boxes": [[1, 2, 30, 40]]},
}
COMPLETIONS = 150


@pytest.fixture(scope="module")
def untrained() -> TinyVLM:
    return TinyVLM(
        weights=None, hidden_size=64, layers=1, vision_hidden_size=64, max_pixels=96 * 96
    )


@pytest.fixture(scope="module")
def vocabulary(untrained) -> Vocabulary:
    return Vocabulary.from_tokenizer(untrained.tokenizer)


def test_an_untrained_model_answers_every_task_without_a_problem(untrained):
    limits = {"batch_size": 200, "max_new_tokens": 80, "temperature": 1.0}
    backend = TransformersBackend(untrained, **limits, constrain=True, scores=False)
    image = ShapesDataset(1)[0].image
    requests, parsers = [], []
    for kind, task in TASKS.items():
        question = task.question(SIZE, QuestionArguments(**ASKED.get(kind, {})))
        request = Request(image, question.prompt, task.answer_form(question))
        requests += [request] * COMPLETIONS
        parsers += [PARSERS.build(task.parser)] * COMPLETIONS
    completions = backend.generate(requests)
    problems = Counter()
    items = Counter()
    kinds = np.repeat(list(TASKS), COMPLETIONS).tolist()
    for kind, parse, completion in zip(kinds, parsers, completions, strict=True):
        prediction = parse(completion.text, SIZE)
        problems.update(f"{kind}: {problem.kind}" for problem in prediction.problems)
        items[kind] += len(prediction.instances)
        assert not completion.truncated
        if kind in ("detection", "pointing"):
            assert tuple(prediction.phrases) == THINGS
    assert not problems
    assert all(items[kind] >= 10 for kind in TASKS), items
    assert len({completion.text for completion in completions}) > 4 * COMPLETIONS


@pytest.mark.parametrize("presence", ["token", "marginal"])
def test_presence_is_decided_within_the_grammar(untrained, presence):
    """The least budget leaves room for None only, whatever the model would rather write."""
    backend = TransformersBackend(untrained, max_new_tokens=9, presence=presence, constrain=True)
    form = SpanForm(("red circle",))
    (completion,) = backend.generate(
        [Request(ShapesDataset(1)[0].image, "Detect red circle.", form)]
    )
    assert read(completion.text, SIZE).absent == ["red circle"]
    assert not completion.truncated


def test_a_constraint_does_not_change_an_answer_that_is_within_it():
    trained = TinyVLM()
    images = ShapesDataset(12, seed=3)
    task = GroundingTask()
    requests = []
    for number in range(len(images)):
        question = task.question(SIZE, QuestionArguments(sorted(images[number].annotation.phrases)))
        form = task.answer_form(question)
        requests.append(Request(images[number].image, question.prompt, form))
    free, bound = (
        TransformersBackend(trained, max_new_tokens=120, constrain=constrain).generate(requests)
        for constrain in (False, True)
    )
    same = [f.token_ids == b.token_ids for f, b in zip(free, bound, strict=True)]
    within = [_within(r.constraint, f, trained) for r, f in zip(requests, free, strict=True)]
    assert sum(within) > 6
    assert all(s for s, w in zip(same, within, strict=True) if w)


def _within(form, completion, vlm) -> bool:
    state = ConstraintState(form, Vocabulary.from_tokenizer(vlm.tokenizer), 120)
    try:
        for token in completion.token_ids:
            state.advance(token)
    except ValueError:
        return False
    return state.done


def test_what_cannot_be_constrained_is_an_error(untrained):
    backend = TransformersBackend(untrained, max_new_tokens=5, constrain=True)
    image = ShapesDataset(1)[0].image
    with pytest.raises(ValueError, match="has no constraint"):
        backend.generate([Request(image, "Detect cup.")])
    with pytest.raises(ValueError, match="raise max_new_tokens"):
        backend.generate([Request(image, "Detect cup.", SpanForm(("cup",)))])
    constraint = GrammarConstraint(backend.mask, [SpanForm(("cup",))], 50)
    with pytest.raises(ValueError, match="2 rows for 1 answer formats"):
        constraint(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 2000))


def test_testing_passes_the_forms_of_its_tasks_on(untrained):
    examples = ExampleDataset(
        [
            Source(ShapesDataset(4, seed=i), task)
            for i, task in enumerate((GroundingTask(), PointingTask()))
        ]
    )
    backend = TransformersBackend(untrained, max_new_tokens=80, constrain=True)
    values = evaluate(backend, examples)
    assert "detection/ap[score=model]" in values


CHOICES = [
    Choice(tokens=(3,)),
    Choice(3, 999, (7, 9)),
    Choice(text=TEXT),
    Choice(0, 1000, (8,), TEXT_VISIBLE + INLINE),
    Choice(5, 5, (1, 2, 3)),
    None,
]


@pytest.mark.parametrize("rows", [[0, 1], [2, 3, 4], [0, 1, 2, 3, 4, 5], [5, 5], [5, 1]])
def test_a_mask_leaves_the_choice_and_nothing_else(vocabulary, rows):
    logits = torch.randn(len(rows), vocabulary.size + 40)
    choices = [CHOICES[row] for row in rows]
    masked = ChoiceMask(vocabulary)(logits.clone(), choices)
    for number, choice in enumerate(choices):
        left = torch.isfinite(masked[number]).nonzero()[:, 0].numpy()
        expected = np.arange(logits.shape[1]) if choice is None else vocabulary.ids(choice)
        assert np.array_equal(left, expected)
        assert torch.equal(masked[number, left], logits[number, left])
