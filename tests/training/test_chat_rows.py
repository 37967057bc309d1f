"""Rows of questions and answers: how they are read, and trained on with and without an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_sft import StopAt, losses, trainer

from rexkit.datasets import ChatDataset, ShapesDataset
from rexkit.errors import ConfigError, DataError
from rexkit.evaluation.evaluator import build_metrics
from rexkit.examples import ExampleDataset, Source, build_examples
from rexkit.metrics import AnswerAccuracy
from rexkit.models import TinyVLM
from rexkit.structures import Prediction
from rexkit.tasks import ChatTask, GroundingTask
from rexkit.training.collator import Collator

TEXT = {"question": "What is 3 + 4?", "answer": "7"}
SEEN = {"image": "a.png", "question": "<image>\nWhat is on the table?", "answer": "Two cups."}
TURN = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good morning."}]


@pytest.fixture
def rows(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")

    def write(*values: object) -> Path:
        (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, values)) + "\n")
        return tmp_path / "chat.jsonl"

    return write


def chat_examples(file: Path, **source: object) -> ExampleDataset:
    return ExampleDataset([Source(ChatDataset(file), ChatTask(), **source)], training=True)


def test_every_form_of_a_row_is_read(rows):
    shared = [{"from": "human", "value": "<image>Hi"}, {"from": "gpt", "value": "Yes."}]
    parts = [{"type": "image"}, {"type": "text", "text": "Which colour?"}]
    spoken = [dict(TURN[0], content=parts), TURN[1]]
    data = chat_examples(
        rows(
            TEXT,
            SEEN,
            {"messages": TURN, "images": []},
            {"image": "a.png", "conversations": shared},
            {"images": ["a.png"], "messages": spoken},
            {"prompt": "Sum?", "response": "3"},
        )
    )
    made = [data[i] for i in range(len(data))]
    assert [(e.prompt, e.response, e.text_only) for e in made] == [
        ("What is 3 + 4?", "7", True),
        ("What is on the table?", "Two cups.", False),
        ("Hello", "Good morning.", True),
        ("Hi", "Yes.", False),
        ("Which colour?", "Good morning.", False),
        ("Sum?", "3", True),
    ]
    assert made[1].target.image_size == (64, 48)
    with pytest.raises(DataError, match=r"chat\.jsonl:1: the row has no image; only supervised"):
        _ = made[0].image


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], "a row must be a JSON object"),
        ({"question": "What?"}, "a row must have 'answer' or 'response'"),
        ({"question": "", "answer": "7"}, "question must be a text"),
        ({"question": "<image>?", "answer": "7"}, "the row names no image"),
        ({"question": "a <|image_pad|>", "answer": "7"}, "markup of the models"),
        ({"question": "What?", "answer": "\ud800"}, "surrogate"),
        ({"images": ["a.png", "b.png"], "question": "?", "answer": "7"}, "may have one image"),
        ({"image": 3, "question": "?", "answer": "7"}, "image must be a path"),
        ({"image": "b.png", "question": "?", "answer": "7"}, "b.png"),
        ({"messages": TURN * 2}, "are user, assistant, user, assistant; .* turns='first'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\[0\] must have a role"),
        ({"messages": "Hello"}, "messages must be a list"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(rows, row, message):
    dataset = ChatDataset(rows(TEXT, row))
    with pytest.raises(DataError, match=r"chat\.jsonl:2.*" + message):
        dataset[1]
    data = ExampleDataset([Source(ChatDataset(rows(TEXT, row), on_error="skip"), ChatTask())])
    data.skip_unusable()
    assert len(data) == 1


def test_only_the_first_turn_where_asked(rows):
    row = {"messages": [{"role": "system", "content": "Be brief."}, *TURN, *TURN]}
    assert ChatDataset(rows(row), turns="first")[0].annotation.extra["question"] == "Hello"
    with pytest.raises(ConfigError, match="turns: 'all' is not one"):
        ChatDataset(rows(TEXT), turns="all")


def test_transforms_are_for_images(rows):
    def fail(sample, rng):
        assert sample.image is not None
        return sample

    data = chat_examples(rows(TEXT, SEEN), transforms=[fail])
    assert [data[0].text_only, data[1].text_only] == [True, False]


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("packing", [False, True])
def test_text_has_the_loss_of_the_model_without_an_image(rows, tmp_path, family, packing):
    data = chat_examples(rows(TEXT, {"question": "Say hello twice.", "answer": "Hello hello."}))
    vlm = TinyVLM(None, family, hidden_size=64, layers=1, heads=1, vision_hidden_size=64)
    job = trainer(tmp_path, data, packing=packing)
    job.vlm, model = vlm, vlm.model
    job.model = model
    if packing:
        from rexkit.packing import use_tree_attention

        use_tree_attention(model, "tree")
    total, number = 0.0, 0
    for example in (data[0], data[1]):
        prompt = vlm.tokenizer(vlm.encoder.chat(example.prompt, text_only=True)).input_ids
        response = vlm.encoder.responses([example])[0]
        ids = torch.tensor([prompt + response])
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        lost = torch.nn.functional.cross_entropy(
            logits[0, len(prompt) - 1 : -1], torch.tensor(response), reduction="sum"
        )
        total, number = total + lost.item(), number + len(response)
    batch = Collator(vlm.encoder, 4096 if packing else None)([data[0], data[1]])
    assert "<|vision_start|>" not in vlm.encoder.chat("a", text_only=True)
    loss = job.compute_loss(model, dict(batch))
    assert loss.item() == pytest.approx(total / number, rel=1e-4)
    loss.backward()  # every part takes part, without a gradient that moves it
    visual = [p for n, p in model.named_parameters() if "visual" in n]
    assert all(p.grad is not None for p in visual)
    assert max(float(p.grad.abs().max()) for p in visual) == 0


@pytest.mark.parametrize("packing", [False, True])
def test_a_mixture_with_text_trains_and_resumes(rows, tmp_path, packing):
    grounding = dict(
        dataset=dict(type="ShapesDataset", size=6), task=dict(type="GroundingTask"), share=1
    )
    file = str(rows(TEXT, SEEN, {"messages": TURN}))
    chat = dict(dataset=dict(type="ChatDataset", ann_file=file), task=dict(type="ChatTask"))
    cfg = dict(sources=[grounding, dict(chat, share=2)], epoch_size=6)

    def run(folder: str, resume: bool = False, **settings: object):
        job = trainer(
            tmp_path / folder,
            build_examples(cfg, "train_data", 0, True),
            **{"packing": packing, "per_device_train_batch_size": 2, "max_steps": 4, **settings},
        )
        job.fit(resume)
        return losses(tmp_path / folder)

    through = run("through")
    run("cut", callbacks=[StopAt(2)])
    assert run("cut", resume=True) == through
    assert len(through) == 4


def test_generation_refuses_rows_without_an_image(rows):
    data = chat_examples(rows(TEXT))
    encoder = TinyVLM(weights=None, hidden_size=64, layers=1, heads=1).encoder
    encoder.check(data[0])
    with pytest.raises(DataError, match="the row has no image"):
        encoder.check(data[0], room=16)  # as reinforcement learning checks them


def test_answers_are_compared_but_for_case_and_punctuation(rows):
    source = chat_examples(rows(SEEN)).sources[0]
    [metric] = build_metrics(source, None)
    target = ExampleDataset([source])[0].target
    for text in ("two cups", "Two cups.<|im_end|>", "Three cups."):
        metric.add(source.parser(text, (64, 48)), target)
    other = AnswerAccuracy()
    other.add(Prediction((64, 48), text="Two Cups"), target)
    metric.merge(other)
    assert metric.compute() == {"exact_match": 0.75}


def test_other_data_has_no_questions():
    data = ExampleDataset([Source(build(), ChatTask())])
    with pytest.raises(DataError, match="ChatTask needs the question and the answer"):
        data[0]
    with pytest.raises(ValueError, match="has no question without data"):
        ChatTask().question((64, 48))
    assert GroundingTask.name != ChatTask.name


def build() -> ShapesDataset:
    return ShapesDataset(1)
