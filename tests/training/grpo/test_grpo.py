"""GRPO: groups, rewards, sampling, and shared prefixes compared with the padded batch of TRL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import CONFIGS
from PIL import Image

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")

from rexkit.cli import main
from rexkit.config import load_config
from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.evaluation.reward_replay import replay
from rexkit.examples import ExampleDataset, Source, build_examples
from rexkit.grammar import read
from rexkit.models import TinyVLM
from rexkit.packing.attention import NAMES
from rexkit.rewards import RewardError, WeightedRewards
from rexkit.tasks import GroundingTask, PointingTask
from rexkit.training.curves import plot_curves
from rexkit.training.grpo.grpo_trainer import GRPOTrainer
from rexkit.training.grpo.prompts import GroupSampler, PromptDataset
from rexkit.training.grpo.reward_function import RewardFunction

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64, max_pixels=96 * 96)

# No two random completions have the same length.
VARYING = [dict(type="length", soft_limit=1, hard_limit=400), "format"]


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
    """Return the completions of the first prompts, as TRL passes them to its loss."""
    job.model.train()
    job.current_gradient_accumulation_steps = 1
    return job._prepare_inputs(next(iter(job.get_train_dataloader())))


def test_the_first_rewards_are_those_of_an_offline_replay(tmp_path):
    job = trainer(tmp_path)
    completions: list = []
    parse = job.reward_function.read
    job.reward_function.read = lambda *given: completions.append(given) or parse(*given)
    # However much the model likes them.
    forbidden = job.vlm.forbidden_ids()

    def favour(layer, inputs, logits):
        logits[..., forbidden] += 50.0

    job.model.lm_head.register_forward_hook(favour)
    job.fit()
    assert len(completions) == 2 * 4  # each completion is parsed once
    assert forbidden
    assert not {i for ids, *_ in completions for i in ids} & set(forbidden)
    assert completions[0][1].source == completions[1][1].source != completions[2][1].source

    texts = [
        job.vlm.tokenizer.decode(ids, skip_special_tokens=False) for ids, *_ in completions[:4]
    ]
    examples = [example for _, example, _ in completions[:4]]
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


def test_completions_are_left_for_replay_and_to_be_looked_at(tmp_path, capsys):
    trainer(tmp_path, completions_every=2, max_steps=3).fit()
    assert sorted(p.name for p in (tmp_path / "completions").iterdir()) == [
        *("step_00000", "step_00002")
    ]
    folder = tmp_path / "completions" / "step_00000"
    file = folder / "completions.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    completions = list(replay(file, WeightedRewards(VARYING)))
    assert [a.total for a in completions] == [record["reward"] for record in records]
    assert [a.by_name for a in completions] == [record["rewards"] for record in records]
    assert len({a.text for a in completions}) == 4
    logged = rows(tmp_path)[0]
    lengths = [record["num_output_tokens"] for record in records]
    assert logged["completions/mean_length"] == np.mean(lengths)
    truncated = [record["truncated"] for record in records]
    assert logged["completions/clipped_ratio"] == np.mean(truncated)
    assert logged["reward"] == pytest.approx(np.mean([a.total for a in completions]), abs=1e-6)
    # TRL's spread is that of a sample.
    spread = np.std([a.total for a in completions], ddof=1)
    assert logged["reward_std"] == pytest.approx(spread, abs=1e-6)
    assert main(["reward", str(file), "--reward", "length:soft_limit=1,hard_limit=400"]) == 0
    assert "4 completions" in capsys.readouterr().out
    table = (folder / "table.md").read_text()
    assert all(record["question"] in table for record in records)
    assert table.count("| reward | length | format |") == 2
    images = sorted(path.name for path in folder.glob("*.png"))
    assert images == [f"{n:04d}_{which}.png" for n in (0, 2) for which in ("best", "worst")]
    with Image.open(folder / images[0]) as image:
        assert image.width > 480


def test_the_log_tells_where_the_time_goes(tmp_path):
    # Two steps on a batch: old log-probabilities in the first, no rollout in the second.
    trainer(tmp_path, num_iterations=2, max_steps=4, beta=0.1, learning_rate=1e-2).fit()
    first, second, third, _, last = rows(tmp_path)
    for row in (first, third):
        assert {n for n in row if n.startswith("time/")} >= {
            *("time/rollout", "time/rewards", "time/log_probs", "time/update")
        }
        assert row["step_time"] * 0.5 < sum(row[n] for n in row if n.startswith("time/"))
        assert row["tokens_per_second"] > row["completion_tokens_per_second"] * 0.01 > 0
    assert second["time/update"] > 0
    assert "time/rollout" not in second
    assert second["tokens_per_second"] == 0
    told = {"kl", "entropy", "clip_ratio/region_mean", "frac_reward_zero_std", "reward_std"}
    assert told <= first.keys()
    assert first["completions/mean_length"] == 8
    assert third["kl"] > 0
    assert "train_runtime" in last
    plot_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.width > 3 * image.height  # rewards, entropy, learning rate


@pytest.mark.parametrize(
    ("family", "attention"), [("qwen3_vl", None), ("qwen2_5_vl", None), ("qwen3_vl", "dense")]
)
def test_shared_prefixes_equal_the_padded_batch(tmp_path, family, attention):
    vlm = TinyVLM(weights=None, family=family, **SMALL)
    # Two steps on a batch need the old log-probabilities, beta needs those of the reference.
    job = trainer(
        tmp_path,
        vlm=vlm,
        attention=attention,
        num_iterations=2,
        beta=0.1,
        per_device_train_batch_size=6,
    )
    for model in (job.model, job.ref_model):  # named so by transformers
        name = model.config.text_config._attn_implementation
        assert name == NAMES[attention or "tree"]
    inputs = first_batch(job)
    assert inputs["advantages"].abs().max() > 0.1
    with torch.no_grad():  # away from the reference
        for parameter in job.ref_model.parameters():
            parameter.mul_(1.01)
    found, read = {}, {}
    seen: list[int] = []
    job.model.base_model.register_forward_pre_hook(
        lambda layer, args, kwargs: seen.append(len(kwargs["image_grid_thw"])), with_kwargs=True
    )
    for job.shared_prefix in (True, False):
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
        seen.clear()
        loss = job.compute_loss(job.model, {**inputs, "ref_per_token_logps": passes[1]})
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in job.model.parameters()])
        found[job.shared_prefix] = [*passes, loss.detach(), gradients]
        read[job.shared_prefix] = seen[0]
    # Of three prompts with two completions each shared prefixes need three images.
    assert read == {True: 3, False: 6}
    (*ours, our_gradients), (*theirs, their_gradients) = found[True], found[False]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs["old_per_token_logps"], theirs[0], atol=1e-5, rtol=0)
    assert (ours[0] - ours[1]).abs().max() > 1e-3
    assert their_gradients.norm() > 1e-3
    assert (our_gradients - their_gradients).norm() < 1e-4 * their_gradients.norm()


def test_too_few_prompts_for_a_batch_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="8 prompts do not fill a batch of 10"):
        trainer(tmp_path, per_device_train_batch_size=4, gradient_accumulation_steps=5)


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


def nan(prediction, target):
    return float("nan")


def too_much(prediction, target):
    return 1.5


def raising(prediction, target):
    raise KeyError("cup")


class WrongCount:
    def batch(self, predictions, targets):
        return [1.0] * (len(predictions) - 1)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (nan, "returned nan, which is not in"),
        (too_much, r"returned 1\.5, which is not in"),
        (raising, r"raised KeyError\('cup'\)"),
        (WrongCount, r"returned \(3,\) numbers for 4 predictions"),
    ],
)
def test_a_broken_reward_stops_with_its_name_or_is_counted(tmp_path, broken, words):
    rewards = [dict(type=broken, name="mine"), *VARYING]
    with pytest.raises(RewardError, match=rf"reward 'mine' {words}.* for ShapesDataset\(seed=0\)"):
        trainer(tmp_path, rewards=rewards).fit()
    trainer(tmp_path, rewards=rewards, reward_errors="zero", max_steps=1).fit()
    first, _ = rows(tmp_path)
    assert first["reward_errors/mine"] == 4
    assert first["rewards/mine/mean"] == 0
    assert first["grad_norm"] > 0  # the others are still learned from


def test_a_group_whose_answers_are_all_alike_is_counted(tmp_path):
    job = trainer(tmp_path, learning_rate=1e-2)
    read_as_it_is = job.reward_function.read
    seen: list = []

    def alike_in_the_first_group(ids, example, source):
        seen.append(example.source)
        return read_as_it_is([5] if example.source == seen[0] else ids, example, source)

    job.reward_function.read = alike_in_the_first_group
    job.fit()
    assert [row["frac_reward_zero_std"] for row in rows(tmp_path)[:2]] == [0.5, 0.0]
    # Nothing is to be learned from a run of such groups, and the log says why.
    trainer(tmp_path, rewards=["format"]).fit()
    for row in rows(tmp_path)[:2]:
        assert (row["frac_reward_zero_std"], row["grad_norm"]) == (1.0, 0.0)


def test_sources_have_rewards_of_their_own(tmp_path):
    plain = dict(dataset=dict(type="ShapesDataset", size=2), task=dict(type="GroundingTask"))
    data = build_examples(
        [dict(plain, reward_name="count"), dict(plain, rewards=["rejection", "format"]), plain],
        *("train_data", 0, True),
    )
    rows = PromptDataset(data)
    tokenizer = TinyVLM(weights=None, **SMALL).tokenizer
    paid = RewardFunction(rows.examples.sources, ["format"], "raise", tokenizer)
    asked = [rows[i] for i in (0, 2, 4)]
    examples, sources = ([row[key] for row in asked] for key in ("example", "source"))
    assert sources == [0, 1, 2]
    ids = [tokenizer(e.response + tokenizer.eos_token).input_ids for e in examples]
    found = [paid.read(*arguments) for arguments in zip(ids, examples, sources, strict=True)]
    predictions = [completion.prediction for completion in found]
    assert [p.text for p in predictions] == [e.response for e in examples]
    table = paid.score(predictions, examples, sources)
    assert table.total.tolist() == [1.0, 1.0, 1.0]
    assert {n: np.isfinite(v).tolist() for n, v in table.by_name.items()} == {
        "count": [True, False, False],
        "rejection": [False, True, False],
        "format": [False, True, True],
    }
    with pytest.raises(ConfigError, match=r"train_data\.2 has no rewards"):
        RewardFunction(rows.examples.sources, [], "raise", tokenizer)
    with pytest.raises(ConfigError, match="either rewards or reward_name"):
        build_examples(dict(plain, reward_name="a", rewards=["b"]), "train_data", 0, True)


@pytest.mark.parametrize(
    ("end", "tokens", "truncated"), [([], 3, True), ([0], 4, False), ([0, 5], 4, False)]
)
def test_a_completion_without_an_end_is_truncated(end, tokens, truncated):
    data = ExampleDataset([Source(ShapesDataset(1), GroundingTask(), parser=read)])
    tokenizer = TinyVLM(weights=None, **SMALL).tokenizer
    reward = RewardFunction(data.sources, ["format"], "raise", tokenizer)
    ids = [5, 6, 7, *(tokenizer.eos_token_id if i == 0 else i for i in end)]
    found = reward.read(ids, data[0], 0)
    assert (found.num_tokens, found.truncated) == (tokens, truncated)
    assert found.prediction.text == tokenizer.decode([5, 6, 7])


def test_several_tasks_of_an_image_are_prompts_of_their_own():
    data = ExampleDataset([Source(ShapesDataset(3), [GroundingTask(), PointingTask()])])
    asked = PromptDataset(data, "Hello.")
    assert len(asked) == 6
    assert [asked[i]["example"].task for i in (0, 3)] == ["detection", "pointing"]
    assert [m["role"] for m in asked[0]["prompt"]] == ["system", "user"]


def test_a_row_is_made_once_for_its_group():
    asked = PromptDataset(ExampleDataset([Source(ShapesDataset(3), GroundingTask())]))
    first, second, other = asked.__getitems__([(0, 1), (0, 1), (1, 1)])
    assert first["image"] is second["image"]
    assert first is not second  # TRL may add to a row
    assert first["image"] is not other["image"]


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
    path = CONFIGS / "grpo" / "grounding.py"
    load_config(path, {"trainer.rewards.0.weight": 2.0, "trainer.rewards.0.name": "strict"})
    with pytest.raises(ConfigError) as error:
        load_config(path, change)
    for word in words:
        assert word in str(error.value)


def test_groups_that_do_not_fill_the_batch_are_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer: .*\(8\).*num_generations \(5\)"):
        trainer(tmp_path, per_device_train_batch_size=8, num_generations=5)
