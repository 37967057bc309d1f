"""GRPO in two real processes, and with adapters: the same rewards and steps as in one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import CONFIGS
from two_processes import run_two_processes

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from test_grpo import SMALL, first_batch, rows, trainer
from transformers import AutoModelForImageTextToText
from trl import prepare_multimodal_messages

from rexkit.backends import Backend, Generation
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.export import export

LORA = dict(r=4, lora_alpha=32, target_modules="all-linear")
SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_grpo_processes import job
job(Path({work_dir!r}), Path({base!r}), {lora!r}, ddp_backend="gloo", **{options!r}).fit()
"""

SAMPLES_ITSELF = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_grpo_processes import samples_itself
samples_itself(
    Path({work_dir!r}), Path({base!r}), batch=2, deepspeed={plan!r}, ddp_backend="gloo"
).fit()
"""


class Scripted(Backend):
    """Completions depend on the request alone, and differ within a group."""

    model_source = "given"

    def __init__(self, vlm):
        self.vlm = vlm

    def generate(self, requests):
        inputs = self.vlm.encoder.questions(
            [r.image for r in requests], [r.prompt for r in requests]
        )
        asked: dict[bytes, int] = {}
        generations = []
        for request, mask in zip(requests, inputs["attention_mask"], strict=True):
            key = request.image.tobytes() + request.prompt.encode()
            asked[key] = asked.get(key, 0) + 1
            rng = np.random.default_rng([*key[:64], len(key), asked[key]])
            ids = rng.choice(self.vlm.coordinate_ids, 4 + 2 * asked[key]).tolist()
            text = self.vlm.tokenizer.decode(ids)
            generations.append(Generation(text, ids, int(mask.sum()), 0.0, truncated=True))
        return generations


def job(work_dir: Path, base: Path, lora: bool, batch: int = 2, **options: object):
    return trainer(
        work_dir,
        vlm=PretrainedVLM(str(base), lora=LORA if lora else None),
        rollout=dict(type=Scripted),
        rewards=[dict(type="length", soft_limit=10, hard_limit=60)],
        per_device_train_batch_size=batch,
        max_steps=3,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        beta=0.1,
        completions_every=2,
        bf16=False,
        **options,
    )


def samples_itself(work_dir: Path, base: Path, batch: int, **options: object):
    return trainer(
        work_dir,
        vlm=PretrainedVLM(str(base)),
        rollout=dict(type="TransformersBackend"),
        per_device_train_batch_size=batch,
        max_steps=1,
        completions_every=1,
        bf16=False,
        **options,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    TinyVLM(weights=None, **SMALL).save(folder)
    return folder


@pytest.mark.parametrize("kind", ["ddp", "zero2", "lora"])
def test_two_processes_train_like_one(tmp_path, base, kind):
    if kind == "zero2":
        pytest.importorskip("deepspeed", reason="an extra: pip install -e .[deepspeed]")
    if kind == "lora":
        pytest.importorskip("peft")
    torch.manual_seed(1)  # of the adapter
    job(tmp_path / "one", base, kind == "lora", batch=4).fit()
    plan = str(CONFIGS / "deepspeed" / "zero2.json")
    script = SCRIPT.format(
        tests=str(Path(__file__).parent),
        work_dir=str(tmp_path / "two"),
        base=str(base),
        lora=kind == "lora",
        options={
            "save_strategy": "steps",
            "save_steps": 3,
            **({"deepspeed": plan} if kind == "zero2" else {}),
        },
    )
    run_two_processes(tmp_path, script)
    one, two = rows(tmp_path / "one")[:3], rows(tmp_path / "two")[:3]
    assert one[0]["rewards/length/std"] > 0.05
    assert one[2]["kl"] > 1e-6  # it has moved
    # Adapters begin at random, in each run at its own; what is to be learned is the same.
    exact = ("reward", "reward_std", "completions/mean_length", "num_tokens")
    close = () if kind == "lora" else ("loss", "kl", "entropy", "grad_norm")
    for row, other in zip(one, two, strict=True):
        assert [row[n] for n in exact] == pytest.approx([other[n] for n in exact], abs=1e-6)
        for name in close:
            assert row[name] == pytest.approx(other[name], abs=1e-4, rel=2e-3), name
    export(tmp_path / "two" / "checkpoint-3", tmp_path / "plain")
    trained = AutoModelForImageTextToText.from_pretrained(tmp_path / "plain").state_dict()
    start = AutoModelForImageTextToText.from_pretrained(base).state_dict()
    moved = {n: (trained[n] - start[n]).abs().max() for n in start}
    assert trained.keys() == start.keys()
    assert max(moved.values()) > 1e-4
    file = tmp_path / "two" / "completions" / "step_00002" / "completions.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    assert len({record["source"] for record in records}) == 2
    assert len(list(file.parent.glob("*_best.png"))) == 2  # each process draws its own


def test_a_model_in_zero_3_shards_samples_as_it_would_whole(tmp_path, base, monkeypatch):
    pytest.importorskip("deepspeed", reason="an extra: pip install -e .[deepspeed]")
    work_dir = tmp_path / "shards"
    plan = str(CONFIGS / "deepspeed" / "zero3.json")
    run_two_processes(
        tmp_path,
        SAMPLES_ITSELF.format(
            tests=str(Path(__file__).parent), work_dir=str(work_dir), base=str(base), plan=plan
        ),
    )
    file = work_dir / "completions" / "step_00000" / "completions.jsonl"
    completions = [json.loads(line)["raw_response"] for line in file.read_text().splitlines()]
    expected = []
    for process in (0, 1):
        whole = samples_itself(tmp_path / "whole", base, batch=4)
        rows = next(iter(whole.get_train_dataloader()))
        whole.model.train()
        whole.prompt_rows = rows[2 * process : 2 * process + 2]
        with monkeypatch.context() as patch:
            patch.setattr(type(whole.accelerator), "process_index", process)
            found = whole.rollout_func(
                [prepare_multimodal_messages(r["prompt"], [r["image"]]) for r in whole.prompt_rows],
                whole,
            )
        expected += map(whole.vlm.tokenizer.decode, found["completion_ids"])
    assert len(set(expected)) == 4
    assert completions == expected


def test_adapters_have_their_base_as_reference_with_shared_prefixes_too(tmp_path, base):
    pytest.importorskip("peft")
    run = job(tmp_path, base, lora=True, batch=4, num_iterations=2)
    inputs = first_batch(run)
    assert run.ref_model is None
    with torch.no_grad():  # away from the base
        for name, parameter in run.model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    found = {}
    for run.shared_prefix in (True, False):
        run.model.zero_grad()
        images = {k: inputs[k] for k in ("pixel_values", "image_grid_thw", "num_images")}
        with torch.no_grad(), run.model.disable_adapter():
            reference = run._get_per_token_logps_and_entropies(
                run.model,
                torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
                inputs["completion_ids"].shape[1],
                mm_token_type_ids=inputs["mm_token_type_ids"],
                **images,
            )[0]
        # The adapter did nothing when the batch was made: the reference was the policy.
        mask = inputs["completion_mask"].bool()
        torch.testing.assert_close(
            reference[mask], inputs["ref_per_token_logps"][mask], atol=1e-5, rtol=0
        )
        loss = run.compute_loss(run.model, inputs)
        loss.backward()
        trained = {n: p.grad for n, p in run.model.named_parameters() if p.grad is not None}
        assert trained
        assert all("lora_" in name for name in trained)
        found[run.shared_prefix] = loss.detach(), torch.cat([g.flatten() for g in trained.values()])
    (ours, our_gradients), (theirs, their_gradients) = found[True], found[False]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert their_gradients.norm() > 1e-3
    assert (our_gradients - their_gradients).norm() < 1e-4 * their_gradients.norm()
