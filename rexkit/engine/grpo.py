"""Reinforcement learning: answers are sampled in groups, rewarded, and learned from by GRPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

from rexkit.engine.answer_rewards import AnswerRewards
from rexkit.engine.data import ExampleDataset, Key
from rexkit.engine.groups import share_prompts
from rexkit.engine.job import Job, Score, followers
from rexkit.engine.prompts import GroupSampler, PromptDataset
from rexkit.forest import grow, predicting_only, unfold
from rexkit.models.vlm import VLM
from rexkit.registry import TRAINERS
from rexkit.rewards.scoring import OnRewardError


class ForestGRPOTrainer(TRLTrainer):  # type: ignore[misc]
    """TRL's trainer with the prompt of a group computed once.

    Log-probabilities and entropies, and so loss and gradients, are those of TRL's padded batch:
    of the policy, of its old self and of the reference.
    """

    def _get_per_token_logps_and_entropies(  # TRL's only place for it; tests/test_grpo.py notices
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **inputs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if compute_aux_loss:
            raise ValueError("a model of experts has no forest; set forest=False")
        asked = input_ids.shape[1] - logits_to_keep
        num_images = inputs["num_images"]
        patches = inputs["image_grid_thw"].prod(-1).tolist()
        inner = self.accelerator.unwrap_model(model)
        inner = (inner.get_base_model() if is_peft_model(inner) else inner).base_model
        step = batch_size or len(input_ids)
        found = []
        for start in range(0, len(input_ids), step):
            rows = slice(start, start + step)
            pictures = slice(sum(num_images[:start]), sum(num_images[: start + step]))
            pixels = slice(sum(patches[: pictures.start]), sum(patches[: pictures.stop]))
            prompts = {
                "input_ids": input_ids[rows, :asked],
                "attention_mask": attention_mask[rows, :asked],
                "mm_token_type_ids": inputs["mm_token_type_ids"][rows, :asked],
                "pixel_values": inputs["pixel_values"][pixels],
                "image_grid_thw": inputs["image_grid_thw"][pictures],
            }
            batch, branch = share_prompts(
                prompts, input_ids[rows, asked:], attention_mask[rows, asked:], num_images[rows]
            )
            with self.accelerator.autocast(), predicting_only(inner, batch):
                output = model(
                    **grow(batch, inner), shift_labels=batch["labels"][None], fused_lm_head=True
                )
            values = (output.log_probs, output.entropy) if compute_entropy else (output.log_probs,)
            found.append([unfold(v[0], batch, logits_to_keep)[branch] for v in values])
        log_probs, *entropies = (torch.cat(parts) for parts in zip(*found, strict=True))
        return log_probs, entropies[0] if entropies else None, None


@TRAINERS.register_module()
class GRPOTrainer(Job, ForestGRPOTrainer):
    """Group relative policy optimisation on `trl.GRPOTrainer`, which does everything but rewards.

    Losses, clipping, KL to a reference, several updates a batch and checkpoints are TRL's own.
    Answers never hold vision tokens or unused rows of the vocabulary. ``log.jsonl`` tells the mean
    and spread of every reward, problems of answers by kind, the share of groups whose answers are
    all rewarded alike (``frac_reward_zero_std``), answer lengths, clipping, KL and entropy.

    Args:
        vlm: the model.
        train_data: what is asked, with the truth that rewards look at.
        work_dir: where checkpoints, ``log.jsonl`` and TensorBoard files go.
        val_data: what is asked for the rewards of validation.
        score: called at each evaluation; its figures are logged as ``eval_…``.
        seed: of data order and sampling.
        rewards: names or configs of REWARDS with their weights (see `WeightedRewards`); a source
            of ``train_data`` may have its own.
        reward_errors: "raise" stops where a reward raises or is not in [0, 1], "zero" counts it.
        forest: compute the prompt of a group once (see `rexkit.forest`). Loss and gradients stay
            the same.
        callbacks: of transformers.
        arguments: every field of `trl.GRPOConfig`, by its own name.

    Raises:
        ValueError: while training, a prompt with ``max_completion_length`` more tokens is longer
            than the model's ``max_length``; it names the sample. Nothing is cut.
        RewardError: while training, with ``reward_errors="raise"``.
    """

    def __init__(
        self,
        vlm: VLM,
        train_data: ExampleDataset,
        work_dir: str | Path,
        val_data: ExampleDataset | None = None,
        score: Score | None = None,
        seed: int = 0,
        *,
        rewards: Sequence[str | Mapping[str, Any]] = (),
        reward_errors: OnRewardError = "raise",
        forest: bool = True,
        callbacks: list[TrainerCallback] | None = None,
        **arguments: Any,
    ):
        self.vlm = vlm
        self.score = score
        self.forest = forest
        self.work_dir = work_dir = Path(work_dir)
        vlm.tokenizer.padding_side = "left"  # TRL pads pictures' token kinds by it
        system_prompt = vlm.encoder.system_prompt
        prompts = PromptDataset(train_data, system_prompt)
        sources = list(prompts.examples.sources)
        checked = None
        if val_data is not None:
            checked = PromptDataset(val_data, system_prompt, first_source=len(sources))
            sources += checked.examples.sources
        self.answer_rewards = AnswerRewards(sources, rewards, reward_errors, vlm.tokenizer)
        generation = dict(arguments.pop("generation_kwargs", None) or {})
        forbidden = {*vlm.forbidden_ids(), *generation.pop("suppress_tokens", ())}
        accelerated = torch.cuda.is_available()
        config = GRPOConfig(
            output_dir=str(work_dir),
            generation_kwargs={**generation, "suppress_tokens": sorted(forbidden)},
            **{
                "report_to": "none",
                "seed": seed,
                "use_cpu": not accelerated,
                "bf16": accelerated,
                **arguments,
            },
        )
        if config.beta and not is_peft_model(vlm.model):
            # TRL loads the reference from where the model says it comes from.
            reference = work_dir / "reference"
            with config.main_process_first():
                if config.process_index == 0:
                    vlm.save(reference)
            vlm.model.config.name_or_path = str(reference)
        total: Any = self.answer_rewards.total
        super().__init__(
            model=vlm.model,
            reward_funcs=total,
            args=config,
            # TRL insists on a table; rows are made anew each epoch, so they come from elsewhere.
            train_dataset=Dataset.from_dict({"prompt": [""] * len(prompts)}),
            eval_dataset=checked,
            processing_class=vlm.processor,
            callbacks=[
                *followers(work_dir),
                *(callbacks or []),
            ],
        )
        self.train_dataset = prompts

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """What else a config may set: the fields of `trl.GRPOConfig`, but for rollouts by vLLM."""
        names = {field.name for field in fields(GRPOConfig) if field.init}
        ours = {"output_dir", "reward_weights", "use_vllm"}
        return {name for name in names - ours if not name.startswith("vllm_")}

    # The methods below are TRL's; tests/test_grpo.py notices if they are no longer asked.

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[Key]:
        args: Any = self.args
        prompts: Any = self.train_dataset
        return GroupSampler(
            len(prompts),
            args.seed,
            args.num_generations,
            args.generation_batch_size // args.num_generations,
            args.num_iterations * args.steps_per_generation,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._asked = [row["example"] for row in inputs]
        found: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return found

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        found = super()._tokenize_prompts(prompts)
        room = [0] * int(self.max_completion_length or 0)
        for example, ids in zip(self._asked, found[0], strict=True):
            self.vlm.encoder.check_length(example, ids, room)
        return found

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        if self.forest:
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)
        return TRLTrainer._get_per_token_logps_and_entropies(self, *args, **kwargs)
