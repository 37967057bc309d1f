"""Packing and several tasks on one image: the same loss and gradients as padding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source, build_examples
from rexkit.models import TinyVLM
from rexkit.packing import label_positions
from rexkit.packing.attention import NAMES
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.training.collator import Collator
from rexkit.training.sft_trainer import SFTTrainer

FAMILIES = ("qwen3_vl", "qwen2_5_vl")
SMALL = dict(hidden_size=64, layers=2, heads=1, vision_hidden_size=64)


def examples(tasks: object) -> ExampleDataset:
    return ExampleDataset([Source(ShapesDataset(16), tasks)], training=True)


TASKS = {"one": GroundingTask(), "two": [GroundingTask(), PointingTask(), GroundingTask()]}


def trainer(work_dir: Path, tasks: object, family: str = "qwen3_vl", **arguments: object):
    return SFTTrainer(
        TinyVLM(weights=None, family=family, **SMALL),
        examples(tasks),
        work_dir,
        **{
            "per_device_train_batch_size": 4,
            "max_steps": 3,
            "logging_steps": 1,
            "learning_rate": 1e-3,
            "save_strategy": "no",
            "disable_tqdm": True,
            "coord_sigma": 3.0,
            "presence_weight": 2.0,
            **arguments,
        },
    )


def logged(work_dir: Path, name: str) -> list[float]:
    rows = [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("max_row_tokens", [1, 300, 4096])
def test_loss_and_gradients_are_those_of_padding(tmp_path, family, tasks, max_row_tokens):
    found = {}
    for packing in (False, True):
        job = trainer(
            tmp_path, TASKS[tasks], family, packing=packing, max_row_tokens=max_row_tokens
        )
        batch = job.data_collator([job.train_dataset[i] for i in range(4)])
        labels = sorted(label_positions(batch).labels.tolist())
        loss = job.compute_loss(job.model, batch)
        loss.backward()
        gradients = {n: p.grad for n, p in job.model.named_parameters()}
        found[packing] = (loss.detach(), gradients, labels)
    (loss, gradients, labels), (expected, plain, padded_labels) = found[True], found[False]
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    assert labels == padded_labels
    scale = max(float(g.norm()) for g in plain.values())
    for name, gradient in plain.items():
        off = float((gradients[name] - gradient).norm())
        assert off <= 1e-4 * max(float(gradient.norm()), 1e-3 * scale), name


@pytest.mark.parametrize("tasks", TASKS)
def test_a_packed_run_goes_like_a_padded_one(tmp_path, tasks):
    for packing in (False, True):
        job = trainer(
            tmp_path / str(packing),
            TASKS[tasks],
            packing=packing,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            val_data=ExampleDataset([Source(ShapesDataset(6, seed=1), GroundingTask())]),
            per_device_eval_batch_size=4,
            eval_strategy="steps",
            eval_steps=2,
        )
        job.fit()
    for name in ("loss", "eval_loss"):
        packed, padded = (logged(tmp_path / str(packing), name) for packing in (True, False))
        assert packed == pytest.approx(padded, abs=1e-4)
        assert packed


def test_one_image_is_read_once_for_all_that_is_asked(tmp_path):
    encoder = TinyVLM(weights=None, **SMALL).encoder
    asked = examples(TASKS["two"])[(0, 3)]
    assert [e.task for e in asked] == ["detection", "pointing", "detection"]
    tree = Collator(encoder, 4096).tree(asked)
    padded = encoder.examples(asked)
    assert len(tree.image_grid_thw) == 1
    assert 3 * len(tree.pixel_values) == len(padded["pixel_values"])
    assert torch.equal(tree.pixel_values, padded["pixel_values"][: len(tree.pixel_values)])
    for row, (branch, context) in enumerate(zip(tree.branches, tree.context_lengths, strict=True)):
        whole = torch.cat([tree.prefix, branch])
        assert torch.equal(padded["input_ids"][row, : len(whole)], whole)
        learned = padded["labels"][row] != -100
        assert torch.equal(padded["labels"][row][learned], branch[context:])
    assert all(int((b == encoder.processor.image_token_id).sum()) == 0 for b in tree.branches)


def test_a_model_trained_in_packed_rows_is_saved_as_any_other(tmp_path):
    trainer(tmp_path, GroundingTask(), packing=True, max_steps=1).fit()
    config = json.loads((tmp_path / "final" / "config.json").read_text())
    assert "rexkit" not in json.dumps(config)
    AutoModelForImageTextToText.from_pretrained(tmp_path / "final")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [({"packing": True}, "tree"), ({"packing": True, "attention": "flex"}, "flex"), ({}, "dense")],
)
def test_how_packed_rows_attend_is_said_by_the_config(tmp_path, arguments, kind):
    job = trainer(tmp_path, GroundingTask(), **arguments)
    name = job.model.config.text_config._attn_implementation  # named so by transformers
    assert name == NAMES[kind]


def test_packed_rows_hold_the_batch_in_fewer_tokens():
    encoder = TinyVLM(weights=None, **SMALL).encoder
    data = examples(GroundingTask())
    items = [data[i] for i in range(8)]
    packed, padded = Collator(encoder, 512)(items), Collator(encoder)(items)
    assert packed["input_ids"].shape[0] < 8
    assert packed["input_ids"].shape[1] <= 512
    assert int((packed["tree"] >= 0).sum()) == int(padded["attention_mask"].sum())


def test_too_long_an_example_is_named_when_packing():
    encoder = TinyVLM(weights=None, max_length=20, **SMALL).encoder
    with pytest.raises(ValueError, match="max_length=20"):
        Collator(encoder, 512)([examples(GroundingTask())[0]])


def test_several_tasks_share_a_image_in_training_and_are_tested_apart():
    cfg = dict(
        dataset=dict(type="ShapesDataset", size=6),
        task=[dict(type="GroundingTask"), dict(type="PointingTask")],
    )
    together = build_examples(cfg, "train_data", 0, True)
    assert len(together) == 6
    detection, pointing = together[0]
    assert [detection.task, pointing.task] == ["detection", "pointing"]
    assert detection.image is pointing.image
    apart = build_examples(cfg, "test_data", 0, False)
    assert [apart[i].task for i in range(12)] == ["detection"] * 6 + ["pointing"] * 6


@pytest.mark.parametrize(("task", "words"), [([], "empty"), ([dict(type="Pointing")], r"task\.0")])
def test_a_wrong_task_in_a_list_is_named(task, words):
    cfg = dict(dataset=dict(type="ShapesDataset"), task=task)
    with pytest.raises(ConfigError, match=words):
        build_examples(cfg, "train_data", 0, True)
