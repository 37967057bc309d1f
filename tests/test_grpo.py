"""GRPO: groups, rewards, what is sampled, and the forest beside TRL's padded batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from rexkit.config import load_config
from rexkit.datasets import ShapesDataset
from rexkit.engine.answer_rewards import AnswerRewards
from rexkit.engine.data import ExampleDataset, Source, build_examples
from rexkit.engine.grpo import GRPOTrainer
from rexkit.engine.prompts import GroupSampler, PromptDataset
from rexkit.errors import ConfigError
from rexkit.grammar import read
from rexkit.models import TinyVLM
from rexkit.rewards import RewardError, WeightedRewards
from rexkit.tasks import GroundingTask, PointingTask

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64, max_pixels=96 * 96)

# Of random answers no two are equally long.
VARYING = [dict(type="length", free=1, most=400), "format"]


def trainer(work_dir: Path, *sources: Source, **arguments: object) -> GRPOTrainer:
    vlm = arguments.pop("vlm", None) or TinyVLM(weights=None, **SMALL)
    return GRPOTrainer(
        vlm,
        ExampleDataset(sources or [Source(ShapesDataset(8), PointingTask())], training=True),
        work_dir,
        **{
            "rewards": VARYING,
            "per_device_train_batch_size": 4,
            "num_generations": 2,
            "max_completion_length": 8,
            "max_steps": 2,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "gradient_checkpointing": False,
            **arguments,
        },
    )


def rows(work_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]


def first_batch(job: GRPOTrainer) -> dict:
    """The answers to the first prompts, as TRL hands them to its loss."""
    job.model.train()
    job.current_gradient_accumulation_steps = 1
    return job._prepare_inputs(next(iter(job.get_train_dataloader())))


def test_the_first_rewards_are_those_of_an_offline_replay(tmp_path):
    job = trainer(tmp_path)
    answers: list = []
    parse = job.answer_rewards.read
    job.answer_rewards.read = lambda *given: answers.append(given) or parse(*given)
    # However much the model likes them.
    forbidden = job.vlm.forbidden_ids()

    def favour(layer, inputs, logits):
        logits[..., forbidden] += 50.0

    job.model.lm_head.register_forward_hook(favour)
    job.fit()
    assert len(answers) == 2 * 4  # each answer is read once
    assert forbidden
    assert not {i for ids, *_ in answers for i in ids} & set(forbidden)
    assert answers[0][1].source == answers[1][1].source != answers[2][1].source

    texts = [job.vlm.tokenizer.decode(ids, skip_special_tokens=False) for ids, *_ in answers[:4]]
    examples = [example for _, example, _ in answers[:4]]
    predictions = [read(t, e.image.size) for t, e in zip(texts, examples, strict=True)]
    table = WeightedRewards(VARYING).score(
        predictions, [e.target for e in examples], [e.source for e in examples]
    )
    first, second, _ = rows(tmp_path)
    assert first["reward"] == pytest.approx(table.total.mean(), abs=1e-6)
    assert first["rewards/length/mean"] == pytest.approx(table.by_name["length"].mean(), abs=1e-6)
    assert first["rewards/length/std"] > 0
    assert first["problems/any"] == np.mean([bool(p.problems) for p in predictions])
    assert first["problems/junk"] > 0
    assert first["frac_reward_zero_std"] < 1
    assert first["grad_norm"] > 0
    assert second["entropy"] > 0
    assert (tmp_path / "final" / "model.safetensors").is_file()


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_the_forest_equals_the_padded_batch(tmp_path, family):
    vlm = TinyVLM(weights=None, family=family, **SMALL)
    # Two steps on a batch need the old log-probabilities, beta needs those of the reference.
    job = trainer(tmp_path, vlm=vlm, num_iterations=2, beta=0.1, per_device_train_batch_size=6)
    inputs = first_batch(job)
    assert inputs["advantages"].abs().max() > 0.1
    with torch.no_grad():  # away from the reference
        for parameter in job.ref_model.parameters():
            parameter.mul_(1.01)
    found, read = {}, {}
    pictures: list[int] = []
    job.model.base_model.register_forward_pre_hook(
        lambda layer, args, kwargs: pictures.append(len(kwargs["image_grid_thw"])), with_kwargs=True
    )
    for job.forest in (True, False):
        job.model.zero_grad()
        images = {k: inputs[k] for k in ("pixel_values", "image_grid_thw", "num_images")}
        with torch.no_grad():
            passes = [
                job._get_per_token_logps_and_entropies(
                    model,
                    torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                    torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
                    inputs["completion_ids"].shape[1],
                    batch_size=4,
                    mm_token_type_ids=inputs["mm_token_type_ids"],
                    **images,
                )[0]
                for model in (job.model, job.ref_model)
            ]
        pictures.clear()
        loss = job.compute_loss(job.model, {**inputs, "ref_per_token_logps": passes[1]})
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in job.model.parameters()])
        found[job.forest] = [*passes, loss.detach(), gradients]
        read[job.forest] = pictures[0]
    # Of three prompts with two answers each the forest reads three pictures.
    assert read == {True: 3, False: 6}
    (*ours, our_gradients), (*theirs, their_gradients) = found[True], found[False]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs["old_per_token_logps"], theirs[0], atol=1e-5, rtol=0)
    assert (ours[0] - ours[1]).abs().max() > 1e-3
    assert their_gradients.norm() > 1e-3
    assert (our_gradients - their_gradients).norm() < 1e-4 * their_gradients.norm()


def test_prompts_are_those_of_fine_tuning(tmp_path):
    vlm = TinyVLM(weights=None, system_prompt="You answer in boxes.", **SMALL)
    job = trainer(tmp_path, vlm=vlm)
    asked: list = next(iter(job.get_train_dataloader()))
    inputs = job._generate_and_score_completions(asked)
    examples = [row["example"] for row in asked]
    expected = vlm.encoder.questions([e.image for e in examples], [e.prompt for e in examples])
    assert torch.equal(inputs["prompt_ids"], expected["input_ids"])
    torch.testing.assert_close(inputs["pixel_values"], expected["pixel_values"])


def test_a_prompt_too_long_names_the_sample(tmp_path):
    job = trainer(tmp_path, vlm=TinyVLM(weights=None, max_length=20, **SMALL))
    with pytest.raises(ValueError, match=r"^ShapesDataset.*exceed max_length=20"):
        job.fit()


def broken(prediction, target):
    return float("nan")


def test_a_broken_reward_stops_with_its_name_or_is_counted(tmp_path):
    rewards = [dict(type=broken, name="mine"), "format"]
    with pytest.raises(RewardError, match=r"'mine' gave nan.* for ShapesDataset"):
        trainer(tmp_path, rewards=rewards).fit()
    trainer(tmp_path, rewards=rewards, reward_errors="zero", max_steps=1).fit()
    assert rows(tmp_path)[0]["reward_errors/mine"] == 4


def test_sources_have_rewards_of_their_own(tmp_path):
    plain = dict(dataset=dict(type="ShapesDataset", size=2), task=dict(type="GroundingTask"))
    data = build_examples(
        [dict(plain, reward_name="count"), dict(plain, rewards=["rejection", "format"]), plain],
        *("train_data", 0, True),
    )
    rows = PromptDataset(data)
    tokenizer = TinyVLM(weights=None, **SMALL).tokenizer
    paid = AnswerRewards(rows.examples.sources, ["format"], "raise", tokenizer)
    asked = [rows[i] for i in (0, 2, 4)]
    examples, sources = ([row[key] for row in asked] for key in ("example", "source"))
    assert sources == [0, 1, 2]
    ids = [tokenizer(e.response + tokenizer.eos_token).input_ids for e in examples]
    predictions = [paid.read(*answer) for answer in zip(ids, examples, sources, strict=True)]
    assert [p.text for p in predictions] == [e.response for e in examples]
    table = paid.score(predictions, examples, sources)
    assert table.total.tolist() == [1.0, 1.0, 1.0]
    assert {n: np.isfinite(v).tolist() for n, v in table.by_name.items()} == {
        "count": [True, False, False],
        "rejection": [False, True, False],
        "format": [False, True, True],
    }
    with pytest.raises(ConfigError, match=r"train_data\.2 has no rewards"):
        AnswerRewards(rows.examples.sources, [], "raise", tokenizer)
    with pytest.raises(ConfigError, match="either rewards or reward_name"):
        build_examples(dict(plain, reward_name="a", rewards=["b"]), "train_data", 0, True)


def test_several_tasks_of_a_picture_are_prompts_of_their_own():
    data = ExampleDataset([Source(ShapesDataset(3), [GroundingTask(), PointingTask()])])
    asked = PromptDataset(data, "Hello.")
    assert len(asked) == 6
    assert [asked[i]["example"].task for i in (0, 3)] == ["detection", "pointing"]
    assert [m["role"] for m in asked[0]["prompt"]] == ["system", "user"]


def test_groups_stay_together_and_epochs_differ():
    sampler = GroupSampler(7, seed=3, group=2, prompts=3, rounds=2)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler) == 2 * 3 * 2 * 2
        assert keys[0:6] == keys[6:12]
        assert keys[::2] == keys[1::2]
        assert {key[0] for key in keys} == {epoch}
        assert len({*keys}) == 6
        orders.append([index for _, index in keys])
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainer.rewards": ["box_f2"]}, ["trainer.rewards.0", "'box_f1'"]),
        ({"trainer.rewards.0.treshold": 1}, ["treshold", "'threshold'"]),
        ({"trainer.num_generation": 4}, ["num_generation", "'num_generations'"]),
        ({"trainer.use_vllm": True}, ["use_vllm"]),
    ],
)
def test_a_wrong_name_in_a_config_is_found_when_it_is_loaded(change, words):
    path = Path(__file__).parents[1] / "configs" / "grpo" / "grounding.py"
    load_config(path, {"trainer.rewards.0.weight": 2.0, "trainer.rewards.0.name": "strict"})
    with pytest.raises(ConfigError) as error:
        load_config(path, change)
    for word in words:
        assert word in str(error.value)
