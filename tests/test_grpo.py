"""GRPO: groups, rewards, what is sampled, and the forest beside TRL's padded batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rexkit.datasets import ShapesDataset
from rexkit.engine.data import ExampleDataset, Source
from rexkit.engine.grpo import GRPOTrainer
from rexkit.models import TinyVLM
from rexkit.registry import REWARDS
from rexkit.rewards import RewardError, WeightedRewards
from rexkit.tasks import GroundingTask, PointingTask

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64, max_pixels=96 * 96)


def trainer(work_dir: Path, *sources: Source, **arguments: object) -> GRPOTrainer:
    vlm = arguments.pop("vlm", None) or TinyVLM(weights=None, **SMALL)
    return GRPOTrainer(
        vlm,
        ExampleDataset(sources or [Source(ShapesDataset(8), PointingTask())], training=True),
        work_dir,
        **{
            "rewards": ["length", "format"],
            "per_device_train_batch_size": 4,
            "num_generations": 2,
            "max_completion_length": 8,
            "max_steps": 2,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            **arguments,
        },
    )


def rows(work_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]


def test_two_steps(tmp_path):
    job = trainer(tmp_path)
    job.fit()
    print(rows(tmp_path))
