"""Supervised fine-tuning: the loss, the order of data, resuming, learning rates, two processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from paths import CONFIGS
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback
from two_processes import run_two_processes

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source, build_examples
from rexkit.models import TinyVLM
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.training.sampler import EpochSampler
from rexkit.training.sft_trainer import SFTTrainer

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)


def examples(size: int = 16, **source: object) -> ExampleDataset:
    return ExampleDataset([Source(ShapesDataset(size), GroundingTask(), **source)], training=True)


def trainer(work_dir: Path, data: ExampleDataset | None = None, **arguments: object) -> SFTTrainer:
    return SFTTrainer(
        TinyVLM(weights=None, **SMALL),
        data or examples(),
        work_dir,
        **{
            "per_device_train_batch_size": 4,
            "max_steps": 4,
            "logging_steps": 1,
            "learning_rate": 1e-3,
            "save_strategy": "no",
            "disable_tqdm": True,
            **arguments,
        },
    )


def losses(work_dir: Path) -> list[float]:
    rows = [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_the_loss_is_that_of_the_answer_and_logits_are_made_only_there(tmp_path):
    job = trainer(tmp_path)
    batch = job.vlm.encoder.examples([job.train_dataset[i] for i in range(4)])
    labels = batch["labels"][:, 1:]
    whole = job.model(**{k: v for k, v in batch.items() if k != "labels"}).logits[:, :-1]
    expected = cross_entropy(whole[labels != -100], labels[labels != -100])
    seen: list[int] = []
    job.model.lm_head.register_forward_hook(
        lambda layer, i, out: seen.append(out.shape[:-1].numel())
    )
    got = job.compute_loss(job.model, dict(batch))
    torch.testing.assert_close(got, expected)
    assert seen == [int((labels != -100).sum())]
    assert job.model(**batch).logits.shape[:2] == batch["input_ids"].shape


def test_gradient_accumulation_weighs_every_token_alike(tmp_path):
    at_once = trainer(tmp_path / "a", max_steps=2, per_device_train_batch_size=8)
    in_parts = trainer(
        tmp_path / "b", max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    at_once.fit()
    in_parts.fit()
    assert losses(tmp_path / "a") == pytest.approx(losses(tmp_path / "b"), abs=1e-4)


def test_it_learns(tmp_path):
    job = trainer(
        tmp_path, examples(8), max_steps=60, per_device_train_batch_size=8, learning_rate=5e-3
    )
    job.fit()
    curve = losses(tmp_path)
    assert curve[-1] < 0.5 * curve[0]
    assert (tmp_path / "final" / "model.safetensors").is_file()
    assert list((tmp_path / "tensorboard").iterdir())


def test_learning_rates_by_part(tmp_path):
    job = trainer(tmp_path, mm_projector_lr=1e-4, vision_tower_lr=1e-5, learning_rate=1e-2)
    groups = job.create_optimizer().param_groups
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    rates = {part: set() for part in ("vision_tower", "projector", "language_model")}
    for part, _, parameter in job.vlm.trainable_by_part():
        rates[part].add(rate_of[id(parameter)])
    assert rates == {"vision_tower": {1e-5}, "projector": {1e-4}, "language_model": {1e-2}}


def test_muon_trains_the_inner_matrices_and_follows_the_schedule(tmp_path):
    job = trainer(tmp_path, muon_lr=0.02, max_steps=4, lr_scheduler_type="linear")
    before = {name: p.detach().clone() for name, p in job.model.named_parameters()}
    job.fit()
    groups = job.optimizer.param_groups
    assert len({id(p) for group in groups for p in group["params"]}) == len(before)
    assert [group["lr"] for group in groups] == [0.0] * len(groups)
    moved = {n: (p - before[n]).norm() / before[n].norm() for n, p in job.model.named_parameters()}
    assert moved["model.language_model.layers.0.mlp.up_proj.weight"] > 0.02
    assert 0 < moved["model.language_model.embed_tokens.weight"] < 0.2


class StopAt(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step
        control.should_save = control.should_training_stop


@pytest.mark.parametrize(
    "more",
    [{}, {"muon_lr": 0.01}, {"packing": True}, {"dataloader_num_workers": 1}],
    ids=["adamw", "muon", "packed", "workers"],
)
def test_a_resumed_run_ends_like_one_that_never_stopped(tmp_path, more):
    settings = dict(max_steps=10, coord_sigma=(4.0, 3.8), save_strategy="no", **more)
    trainer(tmp_path / "through", **settings).fit()
    trainer(tmp_path / "cut", callbacks=[StopAt(6)], **settings).fit()
    trainer(tmp_path / "cut", **settings).fit(resume=True)
    assert losses(tmp_path / "cut") == losses(tmp_path / "through")
    cut, through = (tmp_path / name / "final" / "model.safetensors" for name in ("cut", "through"))
    assert cut.read_bytes() == through.read_bytes()


def test_coord_sigma_narrows_over_the_run(tmp_path):
    job = trainer(tmp_path, max_steps=8, coord_sigma=(8.0, 2.0))
    assert job.response_loss.coord_sigma == 8.0
    job.fit()
    assert job.response_loss.coord_sigma == pytest.approx(2.0, rel=0.25)


def test_the_sampler_hook_of_transformers_is_still_asked(tmp_path):
    assert hasattr(Trainer, "_get_train_sampler")
    keys = [
        key for batch in trainer(tmp_path).get_train_dataloader().batch_sampler for key in batch
    ]
    assert sorted(keys) == [(0, i) for i in range(16)]


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed: int, epoch: int) -> list:
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        return [index for _, index in sampler]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert sorted(order(0, 0)) == list(range(50))


def test_an_example_depends_on_seed_epoch_and_index_alone():
    first, again, later = examples()[(1, 3)], examples()[(1, 3)], examples()[(2, 3)]
    assert (first.prompt, first.response) == (again.prompt, again.response)
    assert (first.prompt, first.response) != (later.prompt, later.response)


def test_weights_repeat_and_thin_out_sources():
    half = ExampleDataset(
        [
            Source(ShapesDataset(10, seed=1), GroundingTask(), weight=0.5),
            Source(ShapesDataset(4, seed=2), PointingTask(), weight=2),
        ]
    )
    assert len(half) == 5 + 8
    seen = [half[(epoch, i)].source for epoch in (0, 1) for i in range(5)]
    assert len(set(seen)) == 10
    assert {half[i].task for i in range(5, 13)} == {"pointing"}
    assert len({half[i].source for i in range(5, 13)}) == 4


def test_validation_figures_are_logged(tmp_path):
    job = trainer(
        tmp_path,
        val_data=examples(4),
        score=lambda: {"f1@0.5": 0.25},
        eval_strategy="steps",
        eval_steps=2,
    )
    job.fit()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["eval_f1@0.5"] for r in rows if "eval_f1@0.5" in r] == [0.25, 0.25]
    assert all(r["eval_loss"] > 0 for r in rows if "eval_loss" in r)


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (dict(dataset=dict(type="ShapesDataset")), "missing"),
        (
            dict(dataset=dict(type="ShapesDataset"), task=dict(type="GroundingTask"), wieght=1),
            "wieght",
        ),
        (
            [dict(dataset=dict(type="Shapes"), task=dict(type="GroundingTask"))],
            "train_data.0.dataset.type",
        ),
        (["ShapesDataset"], "train_data.0"),
    ],
)
def test_a_wrong_source_names_its_place(cfg, words):
    with pytest.raises(ConfigError, match="train_data") as error:
        build_examples(cfg, "train_data", 0, True)
    assert words in str(error.value)


DISTRIBUTED = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_sft import trainer
trainer(
    Path({work_dir!r}), max_steps=3, per_device_train_batch_size=2, ddp_backend="gloo",
    **{options!r},
).fit()
"""


def train_in_two_processes(tmp_path: Path, work_dir: Path, **options: object) -> None:
    tests = str(Path(__file__).parent)
    run_two_processes(
        tmp_path, DISTRIBUTED.format(tests=tests, work_dir=str(work_dir), options=options)
    )


def test_two_processes_train_like_one(tmp_path):
    trainer(tmp_path / "one", max_steps=3, per_device_train_batch_size=4).fit()
    train_in_two_processes(tmp_path, tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def test_deepspeed_trains_like_one_process(tmp_path):
    pytest.importorskip("deepspeed", reason="DeepSpeed is an extra: pip install -e .[deepspeed]")
    trainer(tmp_path / "one", max_steps=3, per_device_train_batch_size=4).fit()
    plan = str(CONFIGS / "deepspeed" / "zero2.json")
    train_in_two_processes(tmp_path, tmp_path / "two", deepspeed=plan)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
