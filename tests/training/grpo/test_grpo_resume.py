"""GRPO that ended in the middle of a step goes on as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

import torch
from small_models import base_without_coordinates
from test_grpo import rows, trainer
from test_rollouts import completions
from transformers import TrainerCallback

from rexkit.errors import StoppedBySignal
from rexkit.models import PretrainedVLM
from rexkit.models.whole_weights import whole_weights

STEPS = 5
SETTINGS = dict(
    max_steps=STEPS, save_strategy="steps", save_steps=1, completions_every=1, learning_rate=1e-2
)


class End(TrainerCallback):
    """End the training in the middle of a step, as a kill or a signal does."""

    def __init__(self, step: int, signum: int | None):
        self.step, self.signum = step, signum

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            if self.signum is None:
                raise KeyboardInterrupt
            os.kill(os.getpid(), self.signum)


def final(work_dir: Path) -> bytes:
    return (work_dir / "final" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "signum"),
    [
        (dict(rollout=None), None),
        (dict(rollout=dict(type="TransformersBackend")), None),
        (dict(rollout=dict(type="TransformersBackend"), num_iterations=2), signal.SIGTERM),
    ],
    ids=["trl", "ours", "two updates a batch, SIGTERM"],
)
def test_a_run_that_was_ended_goes_on_with_the_same_answers(tmp_path, options, signum):
    settings, work_dir = {**SETTINGS, **options}, tmp_path / "ended"
    with pytest.raises(StoppedBySignal if signum else KeyboardInterrupt):
        trainer(work_dir, callbacks=[End(3, signum)], **settings).fit()
    last = 3 if signum else 2
    saved = sorted(int(folder.name[11:]) for folder in work_dir.glob("checkpoint-*"))
    assert saved == list(range(1, last + 1))
    # A kill while a checkpoint is written leaves one that cannot be used.
    broken = work_dir / f"checkpoint-{last + 1}"
    broken.mkdir()
    (broken / "trainer_state.json").write_text('{"global_st')
    with (work_dir / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "los')

    resumed = trainer(work_dir, **settings)
    asked: list[int] = []
    generate = resumed._generate_and_score_completions
    resumed._generate_and_score_completions = lambda rows: (
        asked.append(resumed.state.global_step) or generate(rows)
    )
    resumed.fit(resume=True)
    # A batch of completions that further updates learn from is not sampled anew.
    assert asked == ([4] if signum else [2, 3, 4])
    trainer(tmp_path / "through", **settings).fit()
    for step in range(0, STEPS, options.get("num_iterations", 1)):
        assert completions(work_dir, step) == completions(tmp_path / "through", step), step
    told, expected = (
        [
            (row["step"], row["loss"], row.get("reward"), row.get("num_tokens"))
            for row in rows(folder)
            if "loss" in row
        ]
        for folder in (work_dir, tmp_path / "through")
    )
    assert told == expected
    assert [row["step"] for row in rows(work_dir) if "loss" in row] == list(range(1, STEPS + 1))
    assert all(row["time/update"] > 0 for row in rows(work_dir) if "loss" in row)
    assert final(work_dir) == final(tmp_path / "through")


def test_an_adapter_beside_its_reference_is_resumed(tmp_path):
    base_without_coordinates(tmp_path / "base", tied=False, spare=0)

    def adapted(seed):
        torch.manual_seed(seed)
        lora = dict(r=4, target_modules="all-linear", modules_to_save=["lm_head"])
        return PretrainedVLM(str(tmp_path / "base"), lora=lora)

    settings = dict(beta=0.1, save_strategy="steps", save_steps=1, learning_rate=1e-2)
    vlm = adapted(0)
    before = vlm.model.get_input_embeddings().weight.detach().clone()
    trainer(tmp_path / "run", vlm=vlm, **settings).fit()
    assert not torch.equal(vlm.model.get_input_embeddings().weight, before)  # of added tokens
    weights = [n for n, _ in whole_weights(vlm.model)]
    assert weights == [n for n, _ in whole_weights(PretrainedVLM(str(tmp_path / "base")).model)]
    ended = (tmp_path / "run" / "final" / "adapter_model.safetensors").read_bytes()
    for left in ("final", "checkpoint-2"):
        shutil.rmtree(tmp_path / "run" / left)
    trainer(tmp_path / "run", vlm=adapted(1), **settings).fit(resume=True)
    assert (tmp_path / "run" / "final" / "adapter_model.safetensors").read_bytes() == ended
