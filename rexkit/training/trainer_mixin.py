"""What every training job does, whatever it learns by: fit, evaluate, and leave its figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rexkit.errors import UserError
from rexkit.training.sharded_checkpoints import ShardDescription

Score = Callable[[], dict[str, float]]


class TrainerMixin:
    """The part of a trainer that rexkit's trainers share; it stands before `transformers.Trainer`.

    Attributes:
        work_dir: where everything goes.
        score: called at each evaluation; its figures are logged as ``eval_…``.
    """

    work_dir: Path
    score: Score | None

    def fit(self: Any, resume: bool = False) -> None:
        """Train to the end and save the model in ``work_dir/final``.

        Args:
            resume: go on from the last whole checkpoint in ``work_dir``.

        Raises:
            UserError: there is none.
        """
        self.train(resume_from_checkpoint=str(last_checkpoint(self.work_dir)) if resume else None)
        self.save_model(str(self.work_dir / "final"))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        trainer: Any = super()
        figures: dict[str, float] = trainer.evaluate(*args, **kwargs)
        if self.score is not None:
            scored = {f"eval_{name}": value for name, value in self.score().items()}
            self.log(scored)  # type: ignore[attr-defined]
            figures |= scored
        return figures


def last_checkpoint(work_dir: Path) -> Path:
    """The last whole checkpoint: one that a killed process was still writing is passed over.

    Raises:
        UserError: there is none.
    """
    found = {
        int(folder.name.rpartition("-")[2]): folder
        for folder in work_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        # transformers writes this file when everything else is there.
        if _whole_json(folder / TRAINER_STATE_NAME)
    }
    if not found:
        raise UserError(f"{work_dir} holds no checkpoint to resume from; start without --resume")
    return found[max(found)]


def default_callbacks(work_dir: Path) -> list[TrainerCallback]:
    """What follows every training: ``log.jsonl``, TensorBoard, and shards that can be opened."""
    return [
        LogFile(work_dir / "log.jsonl"),
        ShardDescription(),
        TensorBoardCallback(SummaryWriter(str(work_dir / "tensorboard"))),
    ]


class LogFile(TrainerCallback):
    """Writes every logged figure as one JSON object a line."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # What a killed run logged after its last checkpoint is done and logged again.
            lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
            done = [line for line in lines if _step(line) <= state.global_step > 0]
            self.path.write_text("".join(f"{line}\n" for line in done), "utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _step(line: str) -> float:
    """The step of a line of the log; of one that a kill cut off, none that was reached."""
    try:
        step: float = json.loads(line)["step"]
    except ValueError:
        return math.inf
    return step


def _whole_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True
