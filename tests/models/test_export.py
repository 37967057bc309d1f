"""Export: checkpoints made by two real processes give the same logits as plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from paths import CONFIGS
from transformers import AutoModelForImageTextToText, AutoProcessor
from two_processes import run_two_processes

from rexkit.cli.export_command import main, merge_main
from rexkit.datasets import ShapesDataset
from rexkit.errors import UserError
from rexkit.examples import ExampleDataset, Source
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.checkpoints import checkpoint_kind, last_checkpoint
from rexkit.models.export import export
from rexkit.tasks import GroundingTask
from rexkit.training.sharded_checkpoints import describe_shards

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)

JOB = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_export import SMALL, batch, examples, save_fsdp_shards
from transformers import TrainerCallback
from rexkit.training.sft_trainer import SFTTrainer
from rexkit.models import PretrainedVLM, TinyVLM

work_dir, base, kind = {work_dir!r}, {base!r}, {kind!r}
lora = dict(r=4, lora_alpha=32, target_modules="all-linear")
vlm = PretrainedVLM(base, lora=lora) if kind == "adapter" else TinyVLM(weights=None, **SMALL)


class KeepLogits(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            model = job.model_wrapped
            model.eval()
            with torch.no_grad():
                logits = model(**batch(vlm)).logits
            model.train()
            if state.is_world_process_zero:
                torch.save(logits, work_dir + "/logits.pt")


job = SFTTrainer(
    vlm, examples(), work_dir, per_device_train_batch_size=2, max_steps=3, logging_steps=1,
    learning_rate=1e-2, save_strategy="no" if kind == "fsdp" else "steps", save_steps=3,
    ddp_backend="gloo", disable_tqdm=True, optim="adamw_torch", callbacks=[KeepLogits()],
    deepspeed={plan!r},
)
job.train()
if kind == "fsdp":
    save_fsdp_shards(job)
"""

PLANS = {
    "whole": None,
    "adapter": None,
    "zero2": str(CONFIGS / "deepspeed/zero2.json"),
    "zero3": str(CONFIGS / "deepspeed/zero3.json"),
    "fsdp": None,
}
KINDS = {"zero2": "deepspeed", "zero3": "deepspeed"}


def save_fsdp_shards(job) -> None:
    """Shard the trained model by FSDP2 and save as accelerate does, which itself shards no CPUs."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_model_state_dict
    from torch.distributed.fsdp import fully_shard

    model = fully_shard(job.vlm.model)
    folder = Path(job.args.output_dir) / "checkpoint-3"
    dcp.save({"model": get_model_state_dict(model)}, checkpoint_id=folder / "pytorch_model_fsdp_0")
    describe_shards(folder, model, job.processing_class)


def examples() -> ExampleDataset:
    return ExampleDataset([Source(ShapesDataset(16), GroundingTask())], training=True)


def batch(vlm) -> dict[str, torch.Tensor]:
    encoded = vlm.encoder.examples([examples()[i] for i in range(2)])
    return {name: value for name, value in encoded.items() if name != "labels"}


def logits_of(folder: Path) -> torch.Tensor:
    vlm = PretrainedVLM(str(folder))
    with torch.no_grad():
        return vlm.model.eval()(**batch(vlm)).logits


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    TinyVLM(weights=None, **SMALL).save(folder)
    return folder


def complete(vlm: TinyVLM, folder: Path) -> None:
    """A checkpoint of transformers, which writes the trainer's state last."""
    vlm.save(folder)
    (folder / "trainer_state.json").write_text("{}")


def train(kind: str, work_dir: Path, base: Path) -> None:
    work_dir.mkdir()
    run_two_processes(
        work_dir,
        JOB.format(
            tests=str(Path(__file__).parent),
            work_dir=str(work_dir),
            base=str(base),
            kind=kind,
            plan=PLANS[kind],
        ),
    )


@pytest.mark.parametrize("kind", PLANS)
def test_exported_logits_are_those_of_the_training(kind, tmp_path, base):
    extra = {"adapter": "peft", "zero2": "deepspeed", "zero3": "deepspeed"}.get(kind)
    if extra:
        pytest.importorskip(extra, reason=f"{extra} is in an extra of rexkit")
    train(kind, tmp_path / "run", base)
    if kind == "zero2":
        # The trainer saves whole weights beside these shards; the shards alone must do.
        for file in (tmp_path / "run/checkpoint-3").glob("model.safetensors*"):
            file.unlink()
    assert checkpoint_kind(tmp_path / "run/checkpoint-3") == KINDS.get(kind, kind)
    assert main([str(tmp_path / "run/checkpoint-3"), str(tmp_path / "plain")]) == 0
    trained = torch.load(tmp_path / "run/logits.pt", weights_only=True)
    torch.testing.assert_close(logits_of(tmp_path / "plain"), trained, rtol=1e-4, atol=1e-4)
    assert (logits_of(base) - trained).abs().max() > 0.01
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "plain")
    processor = AutoProcessor.from_pretrained(tmp_path / "plain")
    assert processor.tokenizer.chat_template
    assert plain.generation_config.eos_token_id == processor.tokenizer.eos_token_id


def test_the_public_script_writes_beside_the_checkpoint(tmp_path, base):
    complete(TinyVLM(weights=None, **SMALL), tmp_path / "run" / "checkpoint-7")
    assert merge_main(["--local_dir", str(tmp_path / "run")]) == 0
    torch.testing.assert_close(logits_of(tmp_path / "run" / "huggingface"), logits_of(base))


def test_of_a_work_directory_the_end_of_training_is_taken(tmp_path, base):
    run = tmp_path / "run"
    for name in ("checkpoint-9", "checkpoint-10"):
        vlm = TinyVLM(weights=None, **SMALL)
        with torch.no_grad():
            vlm.inner.language_model.norm.weight.mul_(int(name[11:]))
        complete(vlm, run / name)
    export(run, tmp_path / "last")
    torch.testing.assert_close(
        logits_of(tmp_path / "last"), 10 * logits_of(base), rtol=1e-4, atol=1e-4
    )
    TinyVLM(weights=None, **SMALL).save(run / "final")
    export(run, tmp_path / "end")
    torch.testing.assert_close(logits_of(tmp_path / "end"), logits_of(base))


@pytest.mark.parametrize("state", [None, '{"global_st'], ids=["missing", "cut off"])
def test_half_written_checkpoints_are_passed_over(tmp_path, base, state):
    run = tmp_path / "run"
    half = run / "checkpoint-20"
    TinyVLM(weights=None, **SMALL).save(half)
    # Killed in the middle of the weights.
    content = (half / "model.safetensors").read_bytes()
    (half / "model.safetensors").write_bytes(content[: len(content) // 2])
    if state is not None:
        (half / "trainer_state.json").write_text(state)
    assert last_checkpoint(run) is None
    with pytest.raises(UserError, match=r"checkpoint-20 has no readable trainer_state\.json"):
        export(run, tmp_path / "out")
    complete(TinyVLM(weights=None, **SMALL), run / "checkpoint-10")
    assert last_checkpoint(run) == run / "checkpoint-10"
    export(run, tmp_path / "out")
    torch.testing.assert_close(logits_of(tmp_path / "out"), logits_of(base))


def test_what_is_no_checkpoint_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="neither model"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        export(tmp_path / "nowhere", tmp_path / "out")


def test_weights_that_do_not_fit_are_an_error(tmp_path, base):
    vlm = TinyVLM(weights=None, **SMALL)
    vlm.model.config.text_config.num_hidden_layers = 2
    vlm.save(tmp_path / "bad")
    with pytest.raises(UserError, match="missing"):
        export(tmp_path / "bad", tmp_path / "out")
