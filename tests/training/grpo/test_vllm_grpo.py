"""GRPO that samples with a real vLLM engine, which takes the weights of every step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM has an environment of its own: see README")
pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from test_grpo import rows, trainer
from test_rollouts import completions

from rexkit.models import TinyVLM

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, where there is no GPU

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "scores": False}


def varied(prediction, target) -> float:
    """A different reward for almost every completion."""
    return sum(map(ord, prediction.text)) % 97 / 97


def test_vllm_samples_with_the_weights_of_the_step(tmp_path: Path) -> None:
    job = trainer(
        tmp_path,
        vlm=TinyVLM(),
        rollout=dict(type="VLLMBackend", **ENGINE),
        learning_rate=2e-3,
        lr_scheduler_type="constant",
        max_completion_length=32,
        rewards=[dict(type=varied, name="varied")],
        max_steps=3,
        completions_every=1,
    )
    job.fit()
    logged = rows(tmp_path)[:3]
    assert all(row["grad_norm"] > 0 for row in logged)
    for row in logged:  # what vLLM samples is as likely to the trainer
        assert row["sampling/sampling_logp_difference/mean"] < 2e-3
    first = [completions(tmp_path, step) for step in range(3)]
    assert len({text for texts in first for text in texts}) > 8  # each draws anew

    # With the weights of the step before it would show.
    job.rollout_func._updated = job.state.global_step
    job.model.train()
    asked = next(iter(job.get_train_dataloader()))
    job._generate_and_score_completions(asked)
    (old,) = job._metrics["train"]["sampling/sampling_logp_difference/mean"]
    assert old > 5 * logged[-1]["sampling/sampling_logp_difference/mean"]
