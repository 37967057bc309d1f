"""A work directory belongs to one run: others are refused, and resuming tells what changed."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time

import pytest

from rexkit.errors import UserError
from rexkit.models.checkpoint_marks import mark
from rexkit.models.checkpoints import RUN, run_id
from rexkit.training.run_identity import claimed, locked

FORK = multiprocessing.get_context("fork")
CONFIG = {"seed": 1, "trainer": {"learning_rate": 0.1, "max_steps": 4}, "train_data": [{"n": 2}]}


def with_trainer(**values):
    return {**CONFIG, "trainer": {**CONFIG["trainer"], **values}}


def test_a_used_directory_is_refused_unless_it_is_resumed_or_overwritten(tmp_path):
    with claimed(tmp_path, CONFIG):
        (tmp_path / "checkpoint-4").mkdir()
    with pytest.raises(UserError, match=r"earlier run \(checkpoint-4\).*--resume.*--overwrite"):
        claimed(tmp_path, CONFIG).__enter__()
    with claimed(tmp_path, CONFIG, resume=True):
        assert (tmp_path / "checkpoint-4").is_dir()
    with claimed(tmp_path, {"seed": 2}, overwrite=True):
        assert not (tmp_path / "checkpoint-4").exists()
        assert json.loads((tmp_path / RUN).read_text())["config"] == {"seed": 2}


def _hold(work_dir, pipe):
    with locked(work_dir):
        worker = FORK.Process(target=time.sleep, args=(5,), daemon=True)
        worker.start()  # outlives this process, and must not keep the directory
        pipe.send(None)
        time.sleep(60)


def test_two_runs_at_once_are_refused(tmp_path):
    with (
        claimed(tmp_path, CONFIG),
        pytest.raises(UserError, match="another run of this process trains there"),
        claimed(tmp_path, CONFIG, resume=True),
    ):
        pass
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=_hold, args=(tmp_path, theirs))
    other.start()
    ours.recv()
    with pytest.raises(UserError, match="another process trains there"):
        claimed(tmp_path, CONFIG, resume=True).__enter__()
    other.kill()
    other.join()
    with locked(tmp_path), claimed(tmp_path, CONFIG):  # as the command does
        pass


def test_a_run_keeps_its_id_when_it_is_resumed(tmp_path):
    ids = []
    for words in ({}, {"resume": True}, {"overwrite": True}):
        with claimed(tmp_path, CONFIG, **words):
            ids.append(run_id(tmp_path))
    assert ids[0] == ids[1] != ids[2]


def test_another_number_of_processes_is_refused(tmp_path, monkeypatch):
    with claimed(tmp_path, CONFIG):
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="number of processes: 1 -> 2"):
        claimed(tmp_path, CONFIG, resume=True).__enter__()


def test_a_run_json_that_a_full_disk_emptied_blocks_nothing(tmp_path):
    (tmp_path / RUN).write_text("")
    with claimed(tmp_path, CONFIG):  # there is nothing else
        (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "trainer_state.json").write_text("{}")
    mark(tmp_path / "checkpoint-4", "abc", 4)
    (tmp_path / RUN).write_text("")
    with pytest.raises(UserError, match=r"run\.json cannot be read.*remove the file to go on"):
        claimed(tmp_path, CONFIG, resume=True).__enter__()
    (tmp_path / RUN).unlink()
    with claimed(tmp_path, CONFIG, resume=True):
        assert run_id(tmp_path) == "abc"  # the run's checkpoints stay its own


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (with_trainer(learning_rate=0.2), r"trainer\.learning_rate: 0\.1 -> 0\.2"),
        ({**CONFIG, "seed": 2}, "seed: 1 -> 2"),
        ({**CONFIG, "train_data": [{"n": 3}]}, r"train_data\.0\.n: 2 -> 3"),
        (with_trainer(muon_lr=1), r"trainer\.muon_lr: not set -> 1"),
    ],
)
def test_a_change_that_a_checkpoint_cannot_take_over_is_refused(tmp_path, changed, message):
    with claimed(tmp_path, CONFIG):
        pass
    before = (tmp_path / RUN).read_text()
    with pytest.raises(UserError, match=message):
        claimed(tmp_path, changed, resume=True).__enter__()
    assert (tmp_path / RUN).read_text() == before


def test_a_change_that_is_applied_is_reported(tmp_path, caplog):
    with claimed(tmp_path, CONFIG):
        pass
    with caplog.at_level(logging.INFO), claimed(tmp_path, with_trainer(max_steps=8), resume=True):
        pass
    assert "changed and applied: trainer.max_steps: 4 -> 8" in caplog.text
