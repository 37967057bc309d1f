"""Flags of trainers and of the public training scripts."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from rexkit.cli import main, run, train_command

# Those of finetuning/scripts/sft.sh in the repository IDEA-Research/Rex-Omni, with its values.
SFT = """
--deepspeed scripts/zero2.json --data_flatten False --tune_mm_vision True --tune_mm_mlp True
--tune_mm_llm True --bf16 --output_dir work_dirs/sft --num_train_epochs 1
--per_device_train_batch_size 4 --gradient_accumulation_steps 4 --eval_strategy "no"
--save_strategy "steps" --save_steps 1000 --save_total_limit 5 --learning_rate 2e-5
--mm_projector_lr 2e-5 --vision_tower_lr 2e-6 --optim adamw_torch --warmup_ratio 0.03
--weight_decay 0.01 --max_grad_norm 1 --lr_scheduler_type "cosine" --logging_steps 1
--model_max_length 4096 --gradient_checkpointing True --dataloader_num_workers 4
--run_name rexomni_sft --report_to wandb
"""
SFT_TRAINER = {
    "deepspeed": "scripts/zero2.json",
    "packing": False,
    "bf16": True,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "eval_strategy": "no",
    "save_strategy": "steps",
    "save_steps": 1000,
    "save_total_limit": 5,
    "learning_rate": 2e-5,
    "mm_projector_lr": 2e-5,
    "vision_tower_lr": 2e-6,
    "optim": "adamw_torch",
    "warmup_steps": 0.03,
    "weight_decay": 0.01,
    "max_grad_norm": 1,
    "lr_scheduler_type": "cosine",
    "logging_steps": 1,
    "gradient_checkpointing": True,
    "dataloader_num_workers": 4,
    "run_name": "rexomni_sft",
    "report_to": "wandb",
}

# Those of finetuning/scripts/grpo.sh, but for data.format_prompt, which is refused.
GRPO = """
config=verl/configs/config.yaml worker.actor.model.model_path=IDEA-Research/Rex-Omni
trainer.experiment_name=grpo trainer.n_gpus_per_node=8 worker.actor.global_batch_size=64
data.rollout_batch_size=64 worker.actor.micro_batch_size_per_device_for_update=4
worker.actor.micro_batch_size_per_device_for_experience=8 worker.rollout.n=8
trainer.save_checkpoint_path=work_dirs/grpo trainer.save_freq=100
"""

CONFIG = """
model = dict(type="PretrainedVLM", path="somewhere", freeze=("vision_tower",))
train_data = dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask"))
trainer = dict(type="{trainer}"{more})
"""


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """Return a function from the words of a command line to its config; nothing is built."""
    seen = {}
    monkeypatch.setattr(
        "rexkit.run.Run.from_config", lambda config, job: seen.update(config.to_dict())
    )
    monkeypatch.setattr("rexkit.jobs.train", lambda run, resume, overwrite: {})
    monkeypatch.chdir(tmp_path)
    for name, trainer, more in (
        ("sft.py", "SFTTrainer", ""),
        ("grpo.py", "GRPOTrainer", ", rollout=dict(type='TransformersBackend')"),
    ):
        (tmp_path / name).write_text(CONFIG.format(trainer=trainer, more=more))

    def read(words: str) -> dict:
        seen.clear()
        assert train_command.main(shlex.split(words)) == 0
        return dict(seen)

    return read


def test_every_flag_of_the_public_sft_script(configs):
    config = configs(f"--config sft.py {SFT}")
    trainer = dict(config["trainer"])
    assert trainer.pop("type") == "SFTTrainer"
    assert trainer == SFT_TRAINER
    for name, value in SFT_TRAINER.items():
        assert type(trainer[name]) is type(value), name
    assert config["work_dir"] == "work_dirs/sft"
    assert config["model"] == {
        "type": "PretrainedVLM",
        "path": "somewhere",
        "freeze": [],
        "max_length": 4096,
    }


def test_every_key_of_the_public_grpo_script(configs, monkeypatch):
    pytest.importorskip("trl", reason="TRL is in the extra rexkit[grpo]")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    config = configs(f"data.config_path=grpo.py {GRPO}")
    assert config["work_dir"] == "work_dirs/grpo"
    assert config["model"]["path"] == "IDEA-Research/Rex-Omni"
    assert config["trainer"] == {
        "type": "GRPOTrainer",
        "rollout": {"type": "TransformersBackend"},
        "run_name": "grpo",
        "num_generations": 8,
        # 64 prompts x 8 completions = 4 x 8 processes x 16
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 16,
        "save_strategy": "steps",
        "save_steps": 100,
    }


def test_other_keys_of_verl(configs):
    pytest.importorskip("trl", reason="TRL is in the extra rexkit[grpo]")
    config = configs(
        "--data.config_path grpo.py data.rollout_batch_size=32 worker.actor.global_batch_size=16 "
        "worker.actor.micro_batch_size_per_device_for_update=2 worker.rollout.n=4 "
        "worker.rollout.temperature=1 "
        "worker.actor.optim.lr=1e-6 worker.actor.optim.lr_warmup_ratio=0.1 trainer.max_steps=null "
        "worker.actor.model.freeze_vision_tower=false algorithm.kl_coef=1e-2 trainer.save_freq=-1 "
        "trainer.save_limit=-1 data.max_response_length=4096 data.seed=3 trainer.nnodes=1"
    )
    assert config["trainer"] == {
        "type": "GRPOTrainer",
        "rollout": {"type": "TransformersBackend"},
        "num_generations": 4,
        "generation_batch_size": 128,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 32,
        "temperature": 1,
        "learning_rate": 1e-6,
        "warmup_steps": 0.1,
        "beta": 0.01,
        "save_strategy": "no",
        "save_total_limit": None,
        "max_completion_length": 4096,
    }
    assert config["seed"] == 3
    assert config["model"]["freeze"] == []


def test_parts_that_train(configs):
    def frozen(words):
        return configs(f"sft.py {words}")["model"].get("freeze")

    assert frozen("") == ("vision_tower",)
    assert frozen("--tune_mm_mlp False") == ["vision_tower", "projector"]
    assert frozen("--tune_mm_vision --tune_mm_llm false") == ["language_model"]


def test_flags_and_words_in_any_order(configs):
    words = "--bf16 --disable_tqdm sft.py --report_to wandb tensorboard"
    words += " --cfg-options model.max_pixels=99"
    config = configs(f"{words} trainer.max_steps=5 --weight-decay=0.1 --min_pixels 7")
    assert config["trainer"]["bf16"] is config["trainer"]["disable_tqdm"] is True
    assert config["trainer"]["report_to"] == ["wandb", "tensorboard"]
    assert config["trainer"]["weight_decay"] == 0.1
    assert config["trainer"]["max_steps"] == 5
    assert (config["model"]["max_pixels"], config["model"]["min_pixels"]) == (99, 7)
    config = configs("sft.py --seed 3 --max_steps -1 --deepspeed None --report_to none")
    assert config["seed"] == 3
    assert (config["trainer"]["max_steps"], config["trainer"]["deepspeed"]) == (-1, None)
    assert config["trainer"]["report_to"] == "none"
    config = configs("sft.py --coord_sigma 2.5 --lr_scheduler_kwargs '{\"num_cycles\": 2}'")
    assert config["trainer"]["coord_sigma"] == 2.5
    assert config["trainer"]["lr_scheduler_kwargs"] == {"num_cycles": 2}
    config = configs("sft.py --max_steps 3 --learning_rate 1 --max_steps 4")
    assert config["trainer"]["max_steps"] == 4
    assert configs("sft.py --run_name 2024_01")["trainer"]["run_name"] == "2024_01"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ("--learning_rat 1", ["--learning_rat: is no flag; did you mean --learning_rate"]),
        ("--learning_rate abc", ["--learning_rate: expected float, got 'abc'"]),
        ("--bf16 maybe", ["unrecognized arguments: maybe"]),
        ("--bf16=maybe", ["--bf16: expected bool, got 'maybe'"]),
        ("worker.rollout.gpu_memory_utilization=1", ["trainer.rollout"]),
        ("--learning_rate", ["--learning_rate: a value must follow"]),
        ("--num_generations 4", ["--num_generations: is neither a flag"]),
        ("--max_tolerance_pixel 10", ["--max_tolerance_pixel: is no flag", "--coord_sigma"]),
        ("--use_soft_ce_for_coords True", ["--coord_sigma"]),
        ("--cache_dir x", ["HF_HOME"]),
        ("--dataset_use x", ["train_data"]),
        ("--video_max_frames 8", ["not on videos"]),
        ("--resume_from_checkpoint x", ["--resume"]),
        ("data.format_prompt=a.jinja", ["data.format_prompt=: ", "train_data.task.templates"]),
        (
            "worker.actor.padding_free=true",
            ["worker.actor.padding_free=: is no key", "cfg-options"],
        ),
        ("trainer.n_gpus_per_node=8", ["1 is running; start with torchrun --nproc-per-node 8"]),
        ("trainer.nnodes=2", ["start with torchrun --nnodes 2"]),
        (
            "worker.actor.global_batch_size=3 worker.rollout.n=5 "
            "worker.actor.micro_batch_size_per_device_for_update=4",
            ["3 prompts of 5 completions are no multiple of 4"],
        ),
        ("worker.actor.global_batch_size=many", ["expected a whole number above 0, got 'many'"]),
        ("--cache_dir x --learning_rat 1", ["2 errors", "HF_HOME", "--learning_rate"]),
        ("--config other.py", ["named twice: sft.py and other.py"]),
        ("data.config_path=b.py --config other.py", ["other.py", "b.py"]),
    ],
)
def test_what_cannot_be_used_is_named(configs, capsys, words, messages):
    config = "" if "config_path" in words else "sft.py "
    try:
        code = run(train_command.main, shlex.split(config + words))
    except SystemExit as stop:  # of argparse
        code = stop.code
    assert code == 2
    error = " ".join(capsys.readouterr().err.split())
    for message in messages:
        assert message in error


def test_without_a_config(capsys):
    with pytest.raises(SystemExit):
        train_command.main(["--bf16"])
    assert "the config is missing" in capsys.readouterr().err


def test_a_flag_of_every_field_of_the_trainer_is_known(configs):
    from dataclasses import fields

    from transformers import TrainingArguments

    from rexkit.cli.script_flags import trainer_kinds

    kinds = trainer_kinds()
    names = {field.name for field in fields(TrainingArguments) if field.init}
    assert all(kinds(name) for name in names)
    assert kinds("bf16") == {bool}
    assert kinds("presence_weight") == {float}
    assert kinds("nonsense") == frozenset()
    for name in sorted(names - {"output_dir", "seed", "resume_from_checkpoint", "local_rank"}):
        value = {bool: "true", int: "1", float: "0.5", dict: "{}"}
        word = next((w for kind, w in value.items() if kind in kinds(name)), "x")
        assert name in configs(f"sft.py --{name} {word}")["trainer"]


TINY = """
model = dict(type="TinyVLM", weights=None, hidden_size=64, layers=1, heads=1)
train_data = dict(dataset=dict(type="ShapesDataset", size=8), task=dict(type="GroundingTask"))
trainer = dict(type="SFTTrainer", disable_tqdm=True)
"""


def test_flags_train(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    flags = (
        "--bf16 False --max_steps 2 --per_device_train_batch_size 2 --weight_decay 0.25 "
        "--warmup_ratio 0.5 --logging_steps 1 --save_strategy no --tune_mm_vision False "
        f"--output_dir {tmp_path / 'out'}"
    )
    assert main(["train", str(tmp_path / "tiny.py"), *flags.split()]) == 0
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    rates = [entry["learning_rate"] for entry in log if "learning_rate" in entry]
    assert rates[0] < rates[1]  # one of two steps warms up
    assert (tmp_path / "out" / "final" / "config.json").is_file()


def script(name: str, folder: Path, arguments: str, **environment: str) -> str:
    """Run a script with an interpreter that writes what it is given."""
    recorder = folder / "python"
    recorder.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    recorder.chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / name), *arguments.split()],
        env={**os.environ, "PYTHON": str(recorder), **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return done.stdout


@pytest.mark.parametrize("name", ["sft.sh", "grpo.sh"])
def test_the_flags_of_a_script_fit_its_config(name, configs, tmp_path, monkeypatch):
    if name == "grpo.sh":
        pytest.importorskip("trl", reason="TRL is in the extra rexkit[grpo]")
    # The config of grpo.sh itself names vLLM, which is seldom installed where tests run.
    own = {"CONFIG": "grpo.py"} if name == "grpo.sh" else {}
    more = "--neftune_noise_alpha 5"
    words = script(name, tmp_path, more, GPUS_PER_NODE="2", **own).splitlines()
    assert words[:2] == ["-m", "torch.distributed.run"]
    start = words.index("tools/train.py")
    assert "--nproc_per_node=2" in words[:start]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    config = configs(shlex.join(words[start + 1 :]))
    trainer = config["trainer"]
    assert trainer["neftune_noise_alpha"] == 5
    assert trainer["per_device_train_batch_size"] == 4
    assert config["work_dir"] == f"work_dirs/{name.removesuffix('.sh')}"
    if name == "sft.sh":
        for key in ("learning_rate", "warmup_steps", "weight_decay", "bf16", "optim"):
            assert trainer[key] == SFT_TRAINER[key]
        assert (ROOT / trainer["deepspeed"]).is_file()
    else:
        assert trainer["gradient_accumulation_steps"] == 64
        assert (trainer["num_generations"], trainer["save_steps"]) == (8, 100)


def test_a_script_starts_a_training(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    more = "--max_steps 1 --use_cpu --deepspeed None --model_max_length 2048".split()
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "sft.sh"), *more],
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CONFIG": str(tmp_path / "tiny.py"),
            "OUTPUT_DIR": str(tmp_path / "out"),
            "GPUS_PER_NODE": "1",
            "MASTER_PORT": port,
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "final" / "config.json").is_file()
