"""A work directory belongs to one run: others are refused, and resuming tells what changed."""

from __future__ import annotations

import json
import logging

import pytest

from rexkit.errors import UserError
from rexkit.training.run_identity import RUN, claimed

CONFIG = {"seed": 1, "trainer": {"learning_rate": 0.1, "max_steps": 4}, "train_data": [{"n": 2}]}


def with_trainer(**values):
    return {**CONFIG, "trainer": {**CONFIG["trainer"], **values}}


def test_a_used_directory_is_refused_unless_it_is_resumed_or_overwritten(tmp_path):
    with claimed(tmp_path, CONFIG):
        (tmp_path / "checkpoint-4").mkdir()
    with pytest.raises(UserError, match=r"earlier run \(run\.json\).*--resume.*--overwrite"):
        claimed(tmp_path, CONFIG).__enter__()
    with claimed(tmp_path, CONFIG, resume=True):
        assert (tmp_path / "checkpoint-4").is_dir()
    with claimed(tmp_path, {"seed": 2}, overwrite=True):
        assert not (tmp_path / "checkpoint-4").exists()
        assert json.loads((tmp_path / RUN).read_text())["config"] == {"seed": 2}


def test_two_runs_at_once_are_refused(tmp_path):
    with (
        claimed(tmp_path, CONFIG),
        pytest.raises(UserError, match="another process trains there"),
        claimed(tmp_path, CONFIG, resume=True),
    ):
        pass


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
