"""GRPO killed in the middle of a step goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import ROOT, TESTS
from safetensors.torch import load_file

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from test_grpo import rows, trainer
from test_rollouts import completions

STEPS = 5
SETTINGS = dict(max_steps=STEPS, save_strategy="steps", save_steps=1, completions_every=1)
SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_grpo_resume import job
job(Path({work_dir!r}), {rollout!r}).fit()
"""


def job(work_dir: Path, rollout: dict | None):
    return trainer(work_dir, rollout=rollout, learning_rate=1e-2, **SETTINGS)


@pytest.mark.parametrize("rollout", [None, dict(type="TransformersBackend")], ids=["trl", "ours"])
def test_a_killed_run_goes_on_with_the_same_answers(tmp_path, rollout):
    work_dir = tmp_path / "killed"
    script = SCRIPT.format(
        tests=str(Path(__file__).parent), work_dir=str(work_dir), rollout=rollout
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        # Answers are written before the update that learns from them.
        written = work_dir / "completions" / "step_00002" / "completions.jsonl"
        until = time.monotonic() + 180
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.002)
            if written.is_file():
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    saved = [int(folder.name[11:]) for folder in work_dir.glob("checkpoint-*")]
    assert 2 <= max(saved) < STEPS
    # A kill while a checkpoint is written leaves one that cannot be used.
    broken = work_dir / f"checkpoint-{max(saved) + 1}"
    broken.mkdir(exist_ok=True)
    (broken / "trainer_state.json").write_text('{"global_st')
    with (work_dir / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "los')

    resumed = job(work_dir, rollout)
    resumed.fit(resume=True)
    through = job(tmp_path / "through", rollout)
    through.fit()
    for step in range(STEPS):
        assert completions(work_dir, step) == completions(tmp_path / "through", step), step
    told, expected = (
        [(row["step"], row["reward"], row["num_tokens"]) for row in rows(folder)[:STEPS]]
        for folder in (work_dir, tmp_path / "through")
    )
    assert told == expected
    assert all(row["time/update"] > 0 for row in rows(work_dir)[:STEPS])
    final, whole = (
        load_file(folder / "final" / "model.safetensors")
        for folder in (work_dir, tmp_path / "through")
    )
    for name, weight in whole.items():
        assert (final[name] - weight).abs().max() < 1e-5, name


def test_rounds_of_several_steps_keep_their_beat_after_a_resume(tmp_path):
    settings = dict(SETTINGS, num_iterations=2, max_steps=6)
    trainer(tmp_path, **dict(settings, max_steps=3)).fit()
    go_on = trainer(tmp_path, **settings)
    asked: list = []
    generate = go_on._generate_and_score_completions
    go_on._generate_and_score_completions = lambda rows: (
        asked.append((go_on.state.global_step, rows[0]["example"].source)) or generate(rows)
    )
    go_on.fit(resume=True)
    # The round that was cut in the middle is sampled anew, the next begins on time.
    assert [step for step, _ in asked] == [3, 4]
    assert asked[0][1] != asked[1][1]
