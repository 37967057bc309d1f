"""Runs that were stopped, killed or finished: what is left, and how they go on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from test_sft import examples, losses, trainer
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerCallback

from rexkit.cli import run as run_command
from rexkit.errors import StoppedBySignal, UserError
from rexkit.models.checkpoint_marks import MARK, read_mark
from rexkit.training.data_workers import WorkerSetup, set_up_workers
from rexkit.training.stop_signals import StopSignals

FORK = multiprocessing.get_context("fork")


def weights(work_dir: Path) -> bytes:
    return (work_dir / "final" / "model.safetensors").read_bytes()


def stamps(work_dir: Path) -> dict[str, int]:
    files = (file for file in work_dir.rglob("*") if "tensorboard" not in str(file))
    return {str(file): file.stat().st_mtime_ns for file in files if file.is_file()}


def test_a_run_that_has_ended_takes_no_further_step(tmp_path, caplog):
    settings = dict(max_steps=3, save_strategy="steps", save_steps=3)
    trainer(tmp_path, **settings).fit()
    before, ended = stamps(tmp_path), weights(tmp_path)
    entries = (tmp_path / "log.jsonl").read_text()
    again = trainer(tmp_path, **settings)
    with caplog.at_level(logging.INFO):
        again.fit(resume=True)
    assert "has ended already, after 3 steps" in caplog.text
    log = str(tmp_path / "log.jsonl")
    assert {**stamps(tmp_path), log: before[log]} == before
    assert (tmp_path / "log.jsonl").read_text() == entries
    # The model in memory is the one that was trained, and is tested next.
    shutil.rmtree(tmp_path / "final")
    again.save_model(str(tmp_path / "memory"))
    assert (tmp_path / "memory" / "model.safetensors").read_bytes() == ended
    # Killed before the model was saved: it is, without a step.
    trainer(tmp_path, **settings).fit(resume=True)
    assert weights(tmp_path) == ended
    assert read_mark(tmp_path / "final").step == 3


class Send(TrainerCallback):
    """Send a signal to this process in the middle of a step."""

    def __init__(self, signum: int, step: int):
        self.signum, self.step = signum, step

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize(
    ("signum", "step", "code"), [(signal.SIGTERM, 3, 143), (signal.SIGINT, 4, 130)]
)
def test_a_signal_leaves_a_checkpoint_and_one_line(tmp_path, capfd, signum, step, code):
    settings = dict(max_steps=5, val_data=examples(4), eval_strategy="epoch", save_strategy="epoch")
    handler = signal.getsignal(signum)  # Ray, where an earlier test started it, has set its own
    trainer(tmp_path / "through", **settings).fit()
    stopped = trainer(tmp_path / "cut", callbacks=[Send(signum, step)], **settings)
    capfd.readouterr()
    assert run_command(lambda words: stopped.fit(), []) == code
    error = capfd.readouterr().err.splitlines()
    name = signal.Signals(signum).name
    assert error[-1] == (
        f"stopped by {name} after step {step} of 5: checkpoint-{step} is written in "
        f"{tmp_path / 'cut'}; --resume goes on"
    )
    assert not any("Traceback" in line for line in error)
    assert not (tmp_path / "cut" / "final").exists()
    trainer(tmp_path / "cut", **settings).fit(resume=True)
    assert losses(tmp_path / "cut") == losses(tmp_path / "through")
    assert weights(tmp_path / "cut") == weights(tmp_path / "through")
    assert signal.getsignal(signum) == handler


def test_a_signal_in_the_last_step_leaves_the_model(tmp_path):
    job = trainer(tmp_path, max_steps=2, callbacks=[Send(signal.SIGTERM, 2)])
    with pytest.raises(StoppedBySignal, match="after step 2 of 2: the model is in final"):
        job.fit()
    assert read_mark(tmp_path / "final").step == 2


def _wait_for_signals(pipe) -> None:
    with StopSignals():
        pipe.send(None)
        time.sleep(60)
        time.sleep(60)


def test_a_second_signal_ends_the_process_at_once():
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_wait_for_signals, args=(theirs,))
    process.start()
    ours.recv()
    until = time.monotonic() + 60
    while process.exitcode is None and time.monotonic() < until:
        os.kill(process.pid, signal.SIGTERM)
        process.join(0.05)
    assert process.exitcode == -signal.SIGTERM


class Numbers(Dataset):
    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> int:
        time.sleep(0.01)
        return os.getpid()


def _load_numbers(pipe) -> None:
    loader = set_up_workers(DataLoader(Numbers(), num_workers=1))
    for [number] in loader:
        pipe.send(int(number))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux ends workers with their parent")
def test_workers_end_with_the_training_and_only_with_it():
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_load_numbers, args=(theirs,))
    process.start()
    worker = ours.recv()
    for signum in (signal.SIGTERM, signal.SIGINT):  # as Ctrl-C or a cluster sends to all
        os.kill(worker, signum)
    for _ in range(20):
        assert ours.recv() == worker
    process.kill()
    process.join()
    until = time.monotonic() + 2  # torch's own workers take 5 to 10
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # which is left where the first process of a container reaps none


def _work(setup) -> None:
    setup(0)
    time.sleep(60)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux has it")
def test_workers_that_another_process_started_end_too():
    with subprocess.Popen(["sleep", "60"]) as training:
        setup = WorkerSetup()
        setup.training = training.pid
        worker = FORK.Process(target=_work, args=(setup,))
        worker.start()
        worker.join(0.2)
        assert worker.exitcode is None
        training.kill()
    worker.join(5)
    assert worker.exitcode == 1


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(tmp_path, caplog):
    settings = dict(max_steps=6, save_strategy="steps", save_steps=2)
    trainer(tmp_path / "through", **settings).fit()
    with pytest.raises(StoppedBySignal):
        trainer(tmp_path / "cut", callbacks=[Send(signal.SIGTERM, 4)], **settings).fit()
    other = trainer(tmp_path / "other", **dict(settings, seed=7, max_steps=4))
    other.fit()
    # New weights, old optimizer.
    half = tmp_path / "cut" / "checkpoint-4"
    shutil.copy(tmp_path / "other" / "checkpoint-4" / "model.safetensors", half)
    with caplog.at_level(logging.WARNING):
        trainer(tmp_path / "cut", **settings).fit(resume=True)
    assert (
        "checkpoint-4 is not whole (model.safetensors is not as it was saved); checkpoint-2 is "
        "taken"
    ) in caplog.messages
    assert weights(tmp_path / "cut") == weights(tmp_path / "through")


def test_what_a_checkpoint_lacks_is_said(tmp_path):
    settings = dict(max_steps=2, save_strategy="steps", save_steps=1, save_only_model=True)
    with pytest.raises(UserError, match=r"no whole checkpoint of this run.*--overwrite"):
        trainer(tmp_path, **settings).fit(resume=True)
    trainer(tmp_path, **settings).fit()
    with pytest.raises(UserError, match="holds the model alone"):
        trainer(tmp_path, **settings).fit(resume=True)


def test_intervals_of_a_resumed_run_are_those_of_now(tmp_path):
    first = dict(max_steps=2, save_strategy="steps", save_steps=2, logging_steps=2)
    trainer(tmp_path, **first).fit()
    trainer(tmp_path, **dict(first, max_steps=6, save_steps=3, logging_steps=1)).fit(resume=True)
    assert len(losses(tmp_path)) == 1 + 4
    assert {folder.name for folder in tmp_path.glob("checkpoint-*")} == {
        *("checkpoint-2", "checkpoint-3", "checkpoint-6")
    }


CHECKPOINTS_KEPT = [
    *((1, {5}), (2, {4, 5}), (4, {2, 3, 4, 5}), (5, {1, 2, 3, 4, 5}), (9, {1, 2, 3, 4, 5})),
    (None, {1, 2, 3, 4, 5}),
]


@pytest.mark.parametrize(("limit", "kept"), CHECKPOINTS_KEPT)
def test_earlier_checkpoints_are_removed_beyond_the_limit(tmp_path, limit, kept):
    job = trainer(tmp_path)
    for step in range(1, 6):
        job.state.global_step = step
        (tmp_path / f"checkpoint-{step}").mkdir()
        job._remove_earlier(step, limit)
    assert saved_steps(tmp_path) == kept


@pytest.mark.parametrize(
    ("limit", "kept"), [(1, {2, 5}), (2, {2, 5}), (3, {2, 4, 5}), (9, {1, 2, 3, 4, 5})]
)
def test_the_best_checkpoint_counts_and_is_never_removed(tmp_path, limit, kept):
    job = trainer(tmp_path)
    for step in range(1, 6):
        (tmp_path / f"checkpoint-{step}").mkdir()
    job.state.best_model_checkpoint = str(tmp_path / "checkpoint-2")
    job._remove_earlier(5, limit)
    assert saved_steps(tmp_path) == kept


def saved_steps(work_dir):
    return {int(folder.name[len("checkpoint-") :]) for folder in work_dir.glob("checkpoint-*")}


def test_the_earlier_checkpoint_is_there_until_the_next_is_marked(tmp_path, monkeypatch):
    seen: list[set[str]] = []
    save = torch.save

    def look_and_save(*args, **kwargs):
        seen.append({f.parent.name for f in tmp_path.glob(f"checkpoint-*/{MARK}")})
        return save(*args, **kwargs)

    monkeypatch.setattr(torch, "save", look_and_save)
    trainer(tmp_path, max_steps=3, save_strategy="steps", save_steps=1, save_total_limit=1).fit()
    assert [names for names in seen if names] == [names for names in seen if len(names) == 1]
    assert {"checkpoint-2"} in seen
    assert set() not in seen[seen.index({"checkpoint-1"}) :]
