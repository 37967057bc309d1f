"""Behaviour shared by all trainers: fit, evaluate, and log metrics."""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback

from rexkit._compat.accelerate import is_peft_model
from rexkit._compat.transformers import CHECKPOINT_PREFIX, TensorBoardCallback, TrainerHooks
from rexkit.errors import StoppedBySignal, UserError
from rexkit.models.checkpoint_marks import mark, read_mark
from rexkit.models.checkpoints import (
    FINAL,
    final_fault,
    last_checkpoint,
    numbered_checkpoints,
    run_id,
    step_of,
)
from rexkit.training.data_workers import set_up_workers
from rexkit.training.sharded_checkpoints import describe_shards
from rexkit.training.stop_signals import StopSignals
from rexkit.whole_files import write_whole

logger = logging.getLogger(__name__)

Score = Callable[[], dict[str, float]]


class TrainerMixin(TrainerHooks):
    """The common part of rexkit's trainers; a base class before `transformers.Trainer`.

    Attributes:
        work_dir: where everything goes.
        score: called at each evaluation; its metrics are logged as ``eval_…``.
    """

    work_dir: Path
    score: Score | None
    _saved_step: int | None = None

    def fit(self: Any, resume: bool = False) -> None:
        """Train to the end and save the model in ``work_dir/final``.

        A run that has ended already takes no further step. SIGTERM and SIGINT end the training
        after the current step, with a checkpoint.

        Args:
            resume: Continue from the last whole checkpoint of this run in ``work_dir``.

        Raises:
            UserError: If ``work_dir`` holds no whole checkpoint to resume from.
            StoppedBySignal: After SIGTERM or SIGINT.
        """
        checkpoint = self._checkpoint_to_resume() if resume else None
        if checkpoint is not None:
            self.load_progress(checkpoint)
        with StopSignals() as signals:
            self.add_callback(signals)
            try:
                self.train(resume_from_checkpoint=checkpoint and str(checkpoint))
            finally:
                self.remove_callback(signals)
            step = self.state.global_step
            ended = step >= self.state.max_steps or signals.received is None
            if ended:
                self._save_final(resumed_at=checkpoint and step_of(checkpoint))
            if signals.received is not None:
                left = f"the model is in {FINAL}" if ended else f"checkpoint-{step} is written"
                raise StoppedBySignal(
                    f"stopped by {Signals(signals.received).name} after step {step} of "
                    f"{self.state.max_steps}: {left} in {self.work_dir}; --resume goes on",
                    signals.received,
                )

    def _checkpoint_to_resume(self: Any) -> Path:
        """Return the checkpoint that all processes resume from, as the first one finds it."""
        [checkpoint] = broadcast_object_list([last_checkpoint(self.work_dir)])
        if checkpoint is None:
            raise UserError(
                f"{self.work_dir} holds no whole checkpoint of this run to resume from; start anew "
                "with --overwrite"
            )
        found = read_mark(checkpoint)
        if found is not None and not found.resumable:
            raise UserError(
                f"{checkpoint} holds the model alone (trainer.save_only_model), from which a run "
                "cannot go on; start anew with --overwrite"
            )
        return Path(checkpoint)

    def run_epoch(self: Any, *args: Any, **kwargs: Any) -> None:
        """Train to the end of an epoch; a run that is resumed after its last step takes none."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super().run_epoch(*args, **kwargs)

    def load_weights(self: Any, checkpoint: str, model: Any = None) -> None:
        """Load the weights of a checkpoint, of the adapter that trains too if there are several.

        With a reference adapter beside it (``beta`` of GRPO), transformers loads that alone.
        """
        super().load_weights(checkpoint, model)
        model = self.model if model is None else model
        if is_peft_model(model) and (Path(checkpoint) / "adapter_config.json").is_file():
            model.load_adapter(checkpoint, model.active_adapters[0], is_trainable=True)

    def save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        """Save a checkpoint; its mark is written last, and earlier ones are removed after that."""
        step, limit = self.state.global_step, self.args.save_total_limit
        if step == self._saved_step:  # the end of the epoch comes at once after its last step
            return
        folder = self.work_dir / f"{CHECKPOINT_PREFIX}-{step}"
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        self.accelerator.wait_for_everyone()
        self.save_progress(folder)
        self.args.save_total_limit = None
        try:
            super().save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            describe_shards(folder, self.accelerator.unwrap_model(model), self.processing_class)
            mark(folder, run_id(self.work_dir), step, not self.args.save_only_model)
            self._remove_earlier(step, limit)
        self._saved_step = step

    def save_progress(self, folder: Path) -> None:
        """Save what else a resumed run needs; every process calls it."""

    def load_progress(self, folder: Path) -> None:
        """Load what `save_progress` saved."""

    def _remove_earlier(self: Any, step: int, limit: int | None) -> None:
        """Remove the earliest checkpoints beyond a number, never the best one."""
        if not limit or limit < 1:
            return
        best = Path(self.state.best_model_checkpoint or "").name
        earlier = [
            folder
            for folder in numbered_checkpoints(self.work_dir)
            if step_of(folder) < step and folder.name != best
        ]
        others = 1 if best in ("", f"{CHECKPOINT_PREFIX}-{step}") else 2  # this one, the best one
        for folder in earlier[: max(0, len(earlier) - max(0, limit - others))]:
            shutil.rmtree(folder)

    def _save_final(self: Any, resumed_at: float | None) -> None:
        """Save under a temporary name and rename, so that ``final`` is never half written.

        Args:
            resumed_at: step of the checkpoint that the run was resumed from.
        """
        final, partial = self.work_dir / FINAL, self.work_dir / f"{FINAL}.partial"
        run, step, main = run_id(self.work_dir), self.state.global_step, self.args.should_save
        found = read_mark(final)
        there = found is not None and (found.run, found.step) == (run, step)
        [done] = broadcast_object_list([step == resumed_at and there and not final_fault(final)])
        if done:
            logger.info("%s has ended already, after %d steps: %s is kept", run, step, final)
            return
        if main:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.save_model(str(partial))
        self.accelerator.wait_for_everyone()
        if main:
            mark(partial, run, step, resumable=False)
            replaced = self.work_dir / f"{FINAL}.replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            if final.exists():
                final.rename(replaced)
            partial.rename(final)
            shutil.rmtree(replaced, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the metrics of the validation data: the loss, and those of ``score``.

        The training goes on with the same random numbers, whether it was evaluated or not.
        """
        trainer: Any = super()
        with unchanged_generators():
            metrics: dict[str, float] = trainer.evaluate(*args, **kwargs)
            if self.score is not None:
                scored = {f"eval_{name}": value for name, value in self.score().items()}
                self.log(scored)
                metrics |= scored
        return metrics

    def get_train_dataloader(self) -> Any:
        """Return the loader of training batches; its workers end with this process."""
        trainer: Any = super()
        return set_up_workers(trainer.get_train_dataloader())

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loader of validation batches; its workers end with this process."""
        trainer: Any = super()
        return set_up_workers(trainer.get_eval_dataloader(*args, **kwargs))


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Give Python's, numpy's and torch's random number generators back their states at the end."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def default_callbacks(work_dir: Path) -> list[TrainerCallback]:
    """Return the callbacks of every training: intervals, log file, TensorBoard."""
    return [
        Intervals(),
        LogFile(work_dir / "log.jsonl"),
        TensorBoardFiles(work_dir / "tensorboard"),
    ]


class Intervals(TrainerCallback):
    """Log, save and evaluate as often as the arguments say now, not those of the resumed run."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the numbers of steps, which the state of a checkpoint holds too."""
        state.compute_steps(args, state.max_steps)


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
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove entries of an earlier run after the checkpoint that this one continues from."""
        self._first_step = state.global_step
        if state.is_world_process_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Steps after the last checkpoint of a killed run are run and logged again.
            lines = self.path.read_text("utf-8").splitlines() if self.path.is_file() else []
            done = [line for line in lines if _step(line) <= state.global_step > 0]
            write_whole(self.path, "".join(f"{line}\n" for line in done))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Append an entry, but no summary of a training that took no step."""
        ended = 0 < state.max_steps <= self._first_step
        if state.is_world_process_zero and not ended:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _step(line: str) -> float:
    """Return the step of a log line, infinity if the line is cut off."""
    try:
        step: float = json.loads(line)["step"]
    except ValueError:
        return math.inf
    return step
