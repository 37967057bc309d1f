"""What every training job does, whatever it learns by: fit, evaluate, and leave its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from rexkit.engine.checkpoints import DescribeShards

Score = Callable[[], dict[str, float]]


class Job:
    """The part of a trainer that rexkit's trainers share; it stands before `transformers.Trainer`.

    Attributes:
        work_dir: where everything goes.
        score: called at each evaluation; its figures are logged as ``eval_…``.
    """

    work_dir: Path
    score: Score | None

    def fit(self: Any, resume: bool = False) -> None:
        """Train to the end and save the model in ``work_dir/final``."""
        self.train(resume_from_checkpoint=resume or None)
        self.save_model(str(self.work_dir / "final"))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        trainer: Any = super()
        figures: dict[str, float] = trainer.evaluate(*args, **kwargs)
        if self.score is not None:
            scored = {f"eval_{name}": value for name, value in self.score().items()}
            self.log(scored)  # type: ignore[attr-defined]
            figures |= scored
        return figures


def followers(work_dir: Path) -> list[TrainerCallback]:
    """What follows every training: ``log.jsonl``, TensorBoard, and shards that can be opened."""
    return [
        LogFile(work_dir / "log.jsonl"),
        DescribeShards(),
        TensorBoardCallback(SummaryWriter(str(work_dir / "tensorboard"))),
    ]


class LogFile(TrainerCallback):
    """Writes every logged figure as one JSON object a line."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if state.global_step == 0:
                self.path.unlink(missing_ok=True)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
