"""Trainings that are killed at random moments end with the bytes of one that was not."""

from __future__ import annotations

import os
import signal

import pytest
from kill_harness import kill_and_resume

KILLS = int(os.environ.get("REXKIT_KILLS", "2"))


@pytest.mark.parametrize(
    "kind", ["SFT, packed, two data workers", "GRPO, two updates a batch"], ids=["sft", "grpo"]
)
def test_killed_trainings_end_alike(kind, tmp_path):
    if kind.startswith("GRPO"):
        pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")
    found = kill_and_resume(kind, tmp_path / "runs", KILLS, 14, (signal.SIGKILL, signal.SIGTERM))
    assert found.kills >= KILLS
    assert found.equal
