"""The command line, from words to files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rexkit.cli import main, run, train_command
from rexkit.errors import UserError

CONFIG = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1)
data = dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask"))
train_data = data
test_data = data
trainer = dict(type="SFTTrainer", max_steps=2, per_device_train_batch_size=4, logging_steps=1,
               save_strategy="no", disable_tqdm=True)
backend = dict(type="TransformersBackend", max_new_tokens=4)
test_before = True
num_images = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "job.py").write_text(CONFIG)
    return str(tmp_path / "job.py")


def test_train_then_test(config, tmp_path, capsys):
    work = tmp_path / "work"
    assert main(["train", config, "--work-dir", str(work), "--learning_rate", "1e-4"]) == 0
    for name in ("config.py", "log.jsonl", "curves.png", "metrics.json", "final/config.json"):
        assert (work / name).is_file(), name
    assert len(list((work / "after" / "images").glob("*.png"))) == 2
    metrics = json.loads((work / "metrics.json").read_text())
    for key in ("f1@0.5", "f1@0.95", "f1@0.5:0.95", "rejection_accuracy"):
        assert key in metrics
        assert f"before/{key}" in metrics
    shown = capsys.readouterr().out
    assert "before" in shown
    (ap,) = [name for name in metrics if name.startswith("ap[score=")]
    assert ap in shown  # brackets are markup to rich

    assert (
        main(
            [
                "test",
                config,
                str(work / "final"),
                "--work-dir",
                str(tmp_path / "again"),
                "--show-dir",
                str(tmp_path / "shown"),
            ]
        )
        == 0
    )
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again == {k: v for k, v in metrics.items() if not k.startswith("before/")}
    assert len(list((tmp_path / "shown").glob("*.png"))) == 8

    weights = (work / "final" / "model.safetensors").stat().st_mtime_ns
    words = [config, "--work-dir", str(work)]
    assert run(train_command.main, words) == 2
    assert "holds an earlier run" in capsys.readouterr().err
    assert (work / "final" / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(SystemExit):
        train_command.main([config, "--resume", "--overwrite"])


def test_control_characters_do_not_reach_the_terminal(capsys):
    def fail(words):
        raise UserError("\x1b[2Jgone")

    assert run(fail, []) == 2
    assert capsys.readouterr().err == "error: \\x1b[2Jgone\n"
    command = "from rexkit.cli.options import start_logging; import logging; start_logging(); "
    command += "logging.getLogger('rexkit').warning('a file \\x1b[2J')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert "a file \\x1b[2J" in done.stdout + done.stderr
    assert "\x1b[2J" not in done.stdout + done.stderr


def test_the_familiar_flags_are_overrides(config, monkeypatch):
    seen = {}
    monkeypatch.setattr("rexkit.run.Run.from_config", lambda config, job: seen.update(config))
    monkeypatch.setattr("rexkit.jobs.train", lambda run, resume, overwrite: {})
    train_command.main(
        [
            config,
            "--output_dir",
            "out",
            "--per_device_train_batch_size",
            "3",
            "--gradient_accumulation_steps",
            "2",
            "--learning_rate",
            "0.5",
            "--mm_projector_lr",
            "0.1",
            "--vision_tower_lr",
            "0.2",
            "--num_train_epochs",
            "7",
            "--deepspeed",
            "zero.json",
        ]
    )
    assert seen["work_dir"] == "out"
    trainer = seen["trainer"]
    assert (trainer.per_device_train_batch_size, trainer.gradient_accumulation_steps) == (3, 2)
    assert (trainer.learning_rate, trainer.mm_projector_lr, trainer.vision_tower_lr) == (
        0.5,
        0.1,
        0.2,
    )
    assert (trainer.num_train_epochs, trainer.deepspeed) == (7, "zero.json")


def test_a_misspelt_option_is_one_line(config, capsys):
    code = run(train_command.main, [config, "--cfg-options", "trainer.learning_rat=1"])
    assert code == 2
    error = capsys.readouterr().err
    assert "trainer.learning_rat" in error
    assert "'learning_rate'" in error
    assert error.count("\n") == 1


def test_unknown_commands_and_help(capsys):
    assert main(["trian"]) == 2
    assert "'train'" in capsys.readouterr().err
    assert main([]) == 0
    assert "rexkit COMMAND" in capsys.readouterr().out


def test_list(capsys):
    assert main(["list"]) == 0
    assert "TASK_FNS" in capsys.readouterr().out
    assert main(["list", "task_fns"]) == 0
    assert "GroundingTask" in capsys.readouterr().out
    assert main(["list", "TASKS"]) == 2
    assert "TASK_FNS" in capsys.readouterr().err
