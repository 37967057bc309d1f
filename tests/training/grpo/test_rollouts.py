"""Rollouts by backends: which backend generates, with which weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from paths import CONFIGS

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from safetensors.torch import load_model
from test_grpo import SMALL, first_batch, rows, trainer
from transformers import AutoModelForImageTextToText, RepetitionPenaltyLogitsProcessor

from rexkit.backends import (
    Backend,
    Generation,
    OpenAIBackend,
    ServerError,
    TransformersBackend,
)
from rexkit.config import load_config
from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError, UserError
from rexkit.examples import ExampleDataset, Source
from rexkit.models import TinyVLM
from rexkit.tasks import PointingTask
from rexkit.training.grpo.grpo_trainer import GRPOTrainer
from rexkit.training.grpo.rollouts import BackendRollouts

# What is never sampled has a share of the probability to a model of random weights.
RULED_OUT = 3e-3


class Deaf(Backend):
    """Has a model of its own and keeps it."""

    model_source = "own"

    def __init__(self, model: str):
        self.model = model

    def generate(self, requests):
        raise NotImplementedError


class OwnModel(Backend):
    """Answers with a model of its own, as engines do, and keeps a diary."""

    model_source = "own"
    vlm: TinyVLM | None = None

    def __init__(self, model: str, temperature: float, max_new_tokens: int, deaf: bool = False):
        self.vlm = self.vlm or TinyVLM(weights=None, **SMALL)
        load_model(self.vlm.model, f"{model}/model.safetensors")
        self.inner = TransformersBackend(
            self.vlm, temperature=temperature, max_new_tokens=max_new_tokens
        )
        self.deaf = deaf
        self.folder = model
        self.diary: list = []

    def generate(self, requests):
        self.inner.seed = self.seed
        self.diary.append(("generate", self.seed, [(r.prompt, id(r.image)) for r in requests]))
        return self.inner.generate(requests)

    def update_weights(self, weights):
        received = {name: weight.clone() for name, weight in weights}
        self.diary.append(("update", received))
        if not self.deaf:
            mine = dict(self.vlm.model.named_parameters())
            assert mine.keys() == received.keys()
            for name, weight in received.items():
                mine[name].data.copy_(weight)


def completions(work_dir: Path, step: int, key: str = "raw_response") -> list[str]:
    lines = (work_dir / "completions" / f"step_{step:05d}" / "completions.jsonl").read_text()
    return [json.loads(line)[key] for line in lines.splitlines()]


def test_the_model_that_is_trained_samples_by_itself(tmp_path):
    def run(name: str) -> list[list[str]]:
        job = trainer(
            tmp_path / name, rollout=dict(type="TransformersBackend"), completions_every=1
        )
        assert isinstance(job.rollout_func, BackendRollouts)
        backend = job.rollout_func.backend
        assert backend.vlm.model is job.model
        assert (backend.batch_size, backend.generation_config.max_new_tokens) == (4, 8)
        job.fit()
        assert not (tmp_path / name / "start").exists()
        return [completions(tmp_path / name, step) for step in (0, 1)]

    first, second = run("one")
    assert len({*first, *second}) == 8  # no two draws are the same
    assert run("two") == [first, second]
    logged = rows(tmp_path / "one")[0]
    assert logged["completion_tokens_per_second"] > 0
    assert logged["grad_norm"] > 0
    assert "sampling/importance_sampling_ratio/mean" not in logged


@pytest.mark.parametrize("rollout", [None, dict(type="TransformersBackend"), dict(type=OwnModel)])
def test_validation_samples_the_same_way(tmp_path, rollout):
    job = trainer(
        tmp_path,
        rollout=rollout,
        val_data=ExampleDataset([Source(ShapesDataset(4, seed=9), PointingTask())]),
        eval_strategy="steps",
        eval_steps=1,
        per_device_eval_batch_size=4,
        completions_every=1,
    )
    job.fit()
    log = [row for row in rows(tmp_path) if "eval_reward" in row]
    assert [row["step"] for row in log] == [1, 2]
    assert all(row["eval_rewards/length/std"] > 0 for row in log)
    assert log[0]["eval_completions/mean_length"] == 8
    assert not any(name.startswith("eval_time") for name in log[0])
    # Only what is learned from is left to be looked at.
    asked = completions(tmp_path, 1, "source")
    assert len(asked) == 4
    assert all("seed=0" in source for source in asked)


def test_a_backend_of_its_own_gets_the_start_and_then_every_weight(tmp_path):
    job = trainer(
        tmp_path, rollout=dict(type=OwnModel), max_steps=3, num_iterations=1, learning_rate=1e-2
    )
    backend = job.rollout_func.backend
    for name, weight in AutoModelForImageTextToText.from_pretrained(
        tmp_path / "start"
    ).named_parameters():
        assert torch.equal(weight, job.model.get_parameter(name)), name
    assert backend.folder == str(tmp_path / "start")
    job.fit()
    kinds = [kind for kind, *_ in backend.diary]
    assert kinds == ["generate", "update", "generate", "update", "generate"]
    _, _, asked = backend.diary[0]
    # A group asks the same, of one image that a backend may read once.
    assert asked[0] == asked[1] != asked[2] == asked[3]
    assert len({seed for kind, seed, *_ in backend.diary if kind == "generate"}) == 3
    # What it samples is as likely to it as to the trainer: it has the weights of the step.
    for row in rows(tmp_path)[:3]:
        assert row["sampling/sampling_logp_difference/mean"] < RULED_OUT
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=0.03)


def test_old_weights_would_show(tmp_path):
    trainer(tmp_path, rollout=dict(type=OwnModel, deaf=True), max_steps=3, learning_rate=1e-2).fit()
    first, _, last, _ = rows(tmp_path)
    assert first["sampling/sampling_logp_difference/mean"] < RULED_OUT
    assert last["sampling/sampling_logp_difference/mean"] > 10 * RULED_OUT


def test_several_steps_on_one_batch_update_once(tmp_path):
    job = trainer(tmp_path, rollout=dict(type=OwnModel), max_steps=4, num_iterations=2)
    job.fit()
    assert [kind for kind, *_ in job.rollout_func.backend.diary] == [
        *("generate", "update", "generate")
    ]


@pytest.mark.parametrize("mode", ["token_truncate", "sequence_mask"])
@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "cispo"])
def test_the_weights_of_what_was_sampled_are_those_of_trl(tmp_path, mode, loss_type):
    job = trainer(
        tmp_path,
        rollout=dict(type=OwnModel),
        loss_type=loss_type,
        vllm_importance_sampling_mode=mode,
    )
    rewarded = job._generate_and_score_completions
    inputs: dict = {}

    def remember(asked):
        weigh = job._reweight_by_importance

        def both(batch):
            rng = torch.Generator().manual_seed(1)
            shift = torch.rand(batch["completion_mask"].shape, generator=rng) - 0.4
            batch["sampling_per_token_logps"] -= shift
            inputs["plain"] = batch["advantages"].clone()
            weigh(batch)

        job._reweight_by_importance = both
        return rewarded(asked)

    job._generate_and_score_completions = remember
    batch = first_batch(job)
    # The batch was shuffled since: find what belongs to each row by its advantage.
    old, sampled = batch["old_per_token_logps"], batch["sampling_per_token_logps"]
    difference = (old - sampled) * batch["completion_mask"]
    if mode == "token_truncate":
        ratio = difference.exp().clamp(max=3.0)
    else:
        ratio = difference.sum(-1, keepdim=True).exp()
        ratio = ratio.masked_fill(ratio > 3.0, 0.0)
    assert ratio.std() > 0.01
    plain = job.compute_loss(job.model, batch)
    advantages = _advantages(batch["advantages"] / ratio.expand_as(old), inputs["plain"])
    job.use_vllm = True  # TRL's own way
    theirs = job.compute_loss(
        job.model, {**batch, "advantages": advantages, "importance_sampling_ratio": ratio}
    )
    torch.testing.assert_close(plain, theirs, atol=1e-6, rtol=1e-5)


def _advantages(found: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(B,) of (B, T), where a masked row gives no number: a group's two sum up to 0."""
    rows = [row[row.isfinite()] for row in found]
    one = [row[0] if len(row) else torch.tensor(0.0) for row in rows]
    return torch.stack([min(known, key=lambda k: abs(k - value)) for value in one])


@pytest.mark.parametrize("rollout", [None, dict(type="TransformersBackend")])
def test_the_penalty_of_a_checkpoint_is_not_that_of_rollouts(tmp_path, rollout):
    """Else samples would be those of another distribution than the one that is trained."""

    def sampled(name: str, **defaults: float) -> torch.Tensor:
        vlm = TinyVLM(weights=None, **SMALL)
        for field, value in defaults.items():
            setattr(vlm.model.generation_config, field, value)
        return first_batch(trainer(tmp_path / name, vlm=vlm, rollout=rollout))["completion_ids"]

    expected = sampled("plain")
    found = sampled("penalty", repetition_penalty=9.0, no_repeat_ngram_size=1, min_p=0.9)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_follow_a_penalty(tmp_path, temperature):
    """Loss and gradients are those of the distribution that completions were sampled from."""
    vlm = TinyVLM(weights=None, **SMALL)
    job = trainer(
        tmp_path,
        vlm=vlm,
        rollout=dict(type="TransformersBackend"),
        repetition_penalty=1.3,
        temperature=temperature,
        num_iterations=2,
        beta=0.1,
    )
    assert job.rollout_func.backend.sampling.repetition_penalty == 1.3
    inputs = first_batch(job)
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    keep = inputs["completion_ids"].shape[1]
    processor = RepetitionPenaltyLogitsProcessor(1.3)
    images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    logits = job.model(
        input_ids=ids,
        attention_mask=mask,
        mm_token_type_ids=inputs["mm_token_type_ids"],
        **images,
    ).logits[:, -keep - 1 : -1]
    rows = []
    for row in range(len(ids)):
        real = ids[row, : ids.shape[1] - keep][inputs["prompt_mask"][row].bool()]
        steps = []
        for step in range(keep):
            # Each token once: the gradient of a scatter counts what occurs twice twice.
            earlier = torch.cat([real, inputs["completion_ids"][row, :step]]).unique()
            steps.append(processor(earlier[None], logits[row, step][None])[0])
        rows.append(torch.stack(steps))
    logs = (torch.stack(rows) / temperature).log_softmax(-1)
    expected = logs.gather(2, inputs["completion_ids"][..., None])[..., 0]
    entropies = -(logs.exp() * logs).sum(-1)
    found, entropy, _ = job.token_log_probs(
        job.model,
        ids,
        mask,
        keep,
        compute_entropy=True,
        mm_token_type_ids=inputs["mm_token_type_ids"],
        num_images=inputs["num_images"],
        **images,
    )
    real = inputs["completion_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)
    torch.testing.assert_close(entropy[real], entropies[real], atol=1e-5, rtol=0)
    old = inputs["old_per_token_logps"][real]
    torch.testing.assert_close(old, expected[real].detach(), atol=1e-5, rtol=0)
    without = (logits / temperature).log_softmax(-1)
    without = without.gather(2, inputs["completion_ids"][..., None])[..., 0]
    assert (without[real] - expected[real]).abs().max() > 0.02

    def gradients(values: torch.Tensor) -> torch.Tensor:
        job.model.zero_grad()
        values[real].sum().backward(retain_graph=True)
        return torch.cat([p.grad.flatten() for p in job.model.parameters() if p.grad is not None])

    ours, theirs = gradients(found), gradients(expected)
    assert theirs.norm() > 1e-3
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()


@pytest.mark.parametrize(
    ("rollout", "arguments", "words"),
    [
        (dict(type=Deaf), {}, ["Deaf cannot take", "VLLM"]),
        (dict(type="TransformersBackend", temperature=0.5), {}, ["set trainer.temperature"]),
        (dict(type="TransformersBackend", max_new_tokens=5), {}, ["max_completion_length"]),
        (dict(type=OwnModel), {"min_p": 0.1}, ["trainer.min_p: OwnModel does not accept it"]),
        (None, {"repetition_penalty": 1.1}, ["repetition_penalty: 1.1 needs rollout"]),
        (
            dict(type="TransformersBackend"),
            {"repetition_penalty": 1.1, "shared_prefix": False},
            ["repetition_penalty: 1.1 needs shared_prefix"],
        ),
        (dict(type=OwnModel), {"top_k": 5}, ["trainer.top_k: OwnModel does not accept it"]),
        (dict(type=OwnModel), {"repetition_penalty": 1.1}, ["trainer.repetition_penalty"]),
        (dict(type=OwnModel), {"temperature": 0.7}, ["importance_sampling_correction=False"]),
    ],
)
def test_what_a_rollout_cannot_be(tmp_path, rollout, arguments, words):
    with pytest.raises(ConfigError) as error:
        trainer(tmp_path, rollout=rollout, **arguments)
    for word in words:
        assert word in str(error.value)


def test_a_model_in_fsdp_shards_is_not_shared(tmp_path, monkeypatch):
    class Sharded(GRPOTrainer):
        def create_accelerator_and_postprocess(self):
            super().create_accelerator_and_postprocess()
            self.is_fsdp_enabled = True  # as transformers says it; no CPU has shards

    monkeypatch.setattr("test_grpo.GRPOTrainer", Sharded)
    trainer(tmp_path / "none")
    trainer(tmp_path / "own", rollout=dict(type=OwnModel))
    with pytest.raises(ConfigError, match=r"trainer\.rollout: .*TransformersBackend does.*=None"):
        trainer(tmp_path / "shared", rollout=dict(type="TransformersBackend"))


def test_a_rollout_is_checked_when_its_config_is_loaded():
    assert (
        load_config(CONFIGS / "grpo" / "grounding.py").trainer.rollout.type == "TransformersBackend"
    )
    wrong = {"type": "TransformersBackend", "batch_sise": 3}
    with pytest.raises(ConfigError, match=r"trainer\.rollout.*'batch_size'"):
        load_config(CONFIGS / "grpo" / "grounding.py", {"trainer.rollout": wrong})


def test_a_backend_without_update_says_what_to_do():
    with pytest.raises(UserError, match="Deaf cannot take new weights; save"):
        Deaf(model="m").update_weights([])


def test_a_server_is_given_the_start_and_a_name_of_its_own(tmp_path, monkeypatch):
    """What it has been started with is not known, so it gets the weights before it generates."""
    handed: list[int] = []
    monkeypatch.setattr(
        OpenAIBackend, "update_weights", lambda self, weights: handed.append(len(list(weights)))
    )
    monkeypatch.setattr(
        OpenAIBackend,
        "generate",
        lambda self, requests: TransformersBackend(
            job.vlm, temperature=1.0, max_new_tokens=8
        ).generate(requests),
    )
    job = trainer(tmp_path, rollout=dict(type="OpenAIBackend", model="served"), max_steps=1)
    backend = job.rollout_func.backend
    assert backend.body["model"] == "served"
    assert (backend.body["temperature"], backend.body["max_tokens"]) == (1.0, 8)
    assert backend.image_processor is not None  # of the model as training starts
    job.fit()
    assert handed == [len(list(job.model.parameters()))]


def test_several_processes_do_not_share_a_server(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="from one process"):
        OpenAIBackend(model="m").update_weights([])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(prompt_tokens=3), "read the prompt as 3 tokens"),
        (dict(token_ids=[-1, -1]), "gives no token ids"),
        (dict(token_ids=[5, None]), "a vision token"),
        (dict(prompt_tokens=0, error=ServerError("status 400", 400)), "status 400"),
    ],
)
def test_an_answer_that_cannot_be_learned_from_names_the_sample(tmp_path, change, words):
    job = trainer(tmp_path, rollout=dict(type="TransformersBackend"))
    backend = job.rollout_func.backend
    generate = backend.generate
    vision = job.vlm.forbidden_ids()[0]

    def bad(requests) -> list[Generation]:
        generations = generate(requests)
        for name, value in change.items():
            value = [vision if i is None else i for i in value] if name == "token_ids" else value
            setattr(generations[2], name, value)
        return generations

    backend.generate = bad
    with pytest.raises(ValueError, match=rf"^ShapesDataset.*{words}"):
        job.fit()
