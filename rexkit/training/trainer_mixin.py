"""Behaviour shared by all trainers: fit, evaluate, and log metrics."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback

from rexkit._compat.transformers import TensorBoardCallback
from rexkit.errors import UserError
from rexkit.models.checkpoints import FINAL, last_checkpoint
from rexkit.training.sharded_checkpoints import ShardDescription

Score = Callable[[], dict[str, float]]


class TrainerMixin:
    """The common part of rexkit's trainers; a base class before `transformers.Trainer`.

    Attributes:
        work_dir: where everything goes.
        score: called at each evaluation; its metrics are logged as ``eval_…``.
    """

    work_dir: Path
    score: Score | None

    def fit(self: Any, resume: bool = False) -> None:
        """Train to the end and save the model in ``work_dir/final``.

        Args:
            resume: Continue from the last complete checkpoint in ``work_dir``.

        Raises:
            UserError: If ``work_dir`` holds no complete checkpoint to resume from.
        """
        checkpoint = last_checkpoint(self.work_dir) if resume else None
        if resume and checkpoint is None:
            raise UserError(
                f"{self.work_dir} holds no complete checkpoint to resume from; start without "
                "--resume"
            )
        self.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        self._save_final()

    def _save_final(self: Any) -> None:
        """Save under a temporary name and rename, so that ``final`` is never half written."""
        final, partial = self.work_dir / FINAL, self.work_dir / f"{FINAL}.partial"
        main = self.is_world_process_zero()
        if main:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.save_model(str(partial))
        self.accelerator.wait_for_everyone()
        if main:
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        self.accelerator.wait_for_everyone()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the metrics of the validation data: the loss, and those of ``score``."""
        trainer: Any = super()
        metrics: dict[str, float] = trainer.evaluate(*args, **kwargs)
        if self.score is not None:
            scored = {f"eval_{name}": value for name, value in self.score().items()}
            self.log(scored)  # type: ignore[attr-defined]
            metrics |= scored
        return metrics


def default_callbacks(work_dir: Path) -> list[TrainerCallback]:
    """Return the callbacks of every training: log file, TensorBoard, shard descriptions."""
    return [
        LogFile(work_dir / "log.jsonl"),
        ShardDescription(),
        TensorBoardFiles(work_dir / "tensorboard"),
    ]


class TensorBoardFiles(TensorBoardCallback):
    """Write TensorBoard files, from the start of training: a dry run builds a trainer too."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the file."""
        if self.tb_writer is None and state.is_world_process_zero:
            self.tb_writer = SummaryWriter(str(self.folder))
        super().on_train_begin(args, state, control, **kwargs)


class LogFile(TrainerCallback):
    """Write every log entry as a line of JSON."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove entries of an earlier run after the checkpoint that this one continues from."""
        if state.is_world_process_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Steps after the last checkpoint of a killed run are run and logged again.
            lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
            done = [line for line in lines if _step(line) <= state.global_step > 0]
            self.path.write_text("".join(f"{line}\n" for line in done), "utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Append an entry."""
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _step(line: str) -> float:
    """Return the step of a log line, infinity if the line is cut off."""
    try:
        step: float = json.loads(line)["step"]
    except ValueError:
        return math.inf
    return step
