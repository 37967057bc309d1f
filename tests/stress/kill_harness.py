"""Kill trainings at random moments, resume them, and compare the end with that of a whole run.

From the root of the repository:

    PYTHONPATH=tests:tests/stress python -m kill_harness FOLDER --kills 100

prints for each kind of training how many kills it survived and whether the final weights have the
bytes of those of a run that was never killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from forked_jobs import start_command

from rexkit.models.checkpoint_marks import MARK
from rexkit.models.checkpoints import RUN

SFT = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1, vision_hidden_size=64)
data = dict(dataset=dict(type="ShapesDataset", size=16), task=dict(type="GroundingTask"))
train_data = [data]
trainer = dict(
    type="SFTTrainer", per_device_train_batch_size=2, max_steps=14, save_strategy="steps",
    save_steps=1, save_total_limit=2, logging_steps=1, learning_rate=1e-3, disable_tqdm=True,
    coord_sigma=(4.0, 2.0),
)
"""
GRPO = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1, vision_hidden_size=64)
train_data = dict(
    dataset=dict(type="ShapesDataset", size=8, image_size=(56, 56)), task=dict(type="PointingTask")
)
trainer = dict(
    type="GRPOTrainer", rewards=[dict(type="length", soft_limit=1, hard_limit=400), "format"],
    per_device_train_batch_size=4, num_generations=2, max_completion_length=8, max_steps=7,
    save_strategy="steps", save_steps=1, save_total_limit=2, logging_steps=1, learning_rate=1e-2,
    disable_tqdm=True, gradient_checkpointing=False, completions_every=1,
    rollout=dict(type="TransformersBackend"),
)
"""
KINDS = {
    "SFT": SFT,
    "SFT, packed, two data workers": SFT
    + "trainer.update(packing=True, dataloader_num_workers=2)\n",
    "SFT, Muon, evaluated": SFT
    + "val_data = data\ntrainer.update(muon_lr=0.01, eval_strategy='epoch')\n"
    "backend = dict(type='TransformersBackend', max_new_tokens=4)\n",
    "GRPO": GRPO,
    "GRPO, generation of TRL": GRPO + "trainer.update(rollout=None)\n",
    "GRPO, two updates a batch": GRPO + "trainer.update(num_iterations=2)\n",
}


@dataclass
class Outcome:
    """How a training fared.

    Attributes:
        kills: number of times that it was killed.
        equal: whether its final weights have the bytes of those of a whole run.
    """

    kills: int
    equal: bool


def kill_and_resume(
    kind: str,
    folder: Path,
    kills: int,
    seed: int,
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT),
) -> Outcome:
    """Train once as it is, and once with kills at random moments.

    Args:
        kind: of KINDS.
        folder: where everything goes.
        kills: number of kills; where a run ends before the last of them, it starts anew.
        seed: of the moments.
        signals: which are sent, drawn at random.
    """
    folder.mkdir(parents=True)
    (folder / "config.py").write_text(KINDS[kind])
    whole, killed = folder / "whole", folder / "killed"
    assert _run(folder, whole) == 0, (folder / "log.txt").read_text()[-4000:]
    seconds = time.time() - (whole / RUN).stat().st_mtime
    generator = np.random.default_rng(seed)
    done, equal = 0, True
    while done < kills:
        shutil.rmtree(killed, ignore_errors=True)
        code = None
        while code != 0:
            limit = seconds * generator.uniform(0, 0.5) if done < kills else None
            code = _run(folder, killed, limit, signals[generator.integers(len(signals))])
            assert code in (0, 130, 143, *(-s for s in signals)), (folder / "log.txt").read_text()
            done += code != 0
        equal &= _weights(whole) == _weights(killed)
    return Outcome(done, equal)


def _run(
    folder: Path, work_dir: Path, limit: float | None = None, signum: int = signal.SIGKILL
) -> int:
    """Train to the end, or for some seconds since the training began; return the exit code."""
    started, run = time.time(), work_dir / RUN
    words = ["train", str(folder / "config.py"), "--work-dir", str(work_dir)]
    saved = any(work_dir.glob(f"checkpoint-*/{MARK}"))
    words.append("--resume" if saved else "--overwrite")
    process = start_command(words, folder / "log.txt")
    while limit is not None and process.exitcode is None:
        process.join(0.005)
        since = run.stat().st_mtime if run.is_file() else 0
        if started < since < time.time() - limit:
            os.kill(process.pid or 0, signum)
            break
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _weights(work_dir: Path) -> bytes:
    return (work_dir / "final" / "model.safetensors").read_bytes()


def main() -> None:
    """Parse the arguments, and kill trainings of every kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder for the runs")
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    args = parser.parse_args()
    for number, kind in enumerate(args.kinds):
        found = kill_and_resume(kind, args.folder / str(number), args.kills, number)
        sys.stdout.write(
            f"{kind}: {found.kills} kills, {'bit-equal' if found.equal else 'NOT equal'}\n"
        )


if __name__ == "__main__":
    main()
