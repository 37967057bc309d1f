"""Reinforcement learning: answers are sampled in groups, rewarded, and learned from by GRPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback

from rexkit._compat.accelerate import is_peft_model
from rexkit._compat.trl import GRPOConfig
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Key
from rexkit.models.vlm import VLM
from rexkit.models.whole_weights import save_whole_weights
from rexkit.packing import AttentionKind, default_tree_attention, use_tree_attention
from rexkit.registry import BACKENDS, TRAINERS
from rexkit.rewards import RewardTable
from rexkit.rewards.weighted_rewards import OnRewardError
from rexkit.structures import Example, Prediction
from rexkit.training.grpo.completion_files import CompletionWriter
from rexkit.training.grpo.importance_sampling import Mode, importance_weights
from rexkit.training.grpo.prompts import GroupSampler, PromptDataset
from rexkit.training.grpo.reward_function import RewardFunction
from rexkit.training.grpo.rollouts import (
    BackendRollouts,
    model_arguments,
    sampling_arguments,
    shares_model,
)
from rexkit.training.grpo.shared_prefix import SharedPrefixGRPOTrainer
from rexkit.training.grpo.step_timer import OptimizerTimer, StepTimer
from rexkit.training.trainer_mixin import Score, TrainerMixin, default_callbacks


@TRAINERS.register_module()
class GRPOTrainer(TrainerMixin, SharedPrefixGRPOTrainer):
    """Group relative policy optimisation on `trl.GRPOTrainer`, which does everything but rewards.

    Losses, clipping, KL to a reference, several updates a batch and checkpoints are TRL's own.
    Answers never hold vision tokens or unused rows of the vocabulary.

    ``log.jsonl`` tells the mean and spread of every reward, problems of answers by kind, the share
    of groups whose answers are all rewarded alike (``frac_reward_zero_std``), answer lengths,
    clipping, KL and entropy, and of this process:

    - ``time/rollout``, ``time/rewards``, ``time/log_probs``, ``time/update``: seconds a step. The
      second is with waiting for other processes, the third of the old policy and the reference,
      the last forward, backward and optimizer. ``time/files``: of writing completions.
    - ``tokens_per_second``: prompts and answers of all processes, by the time of all phases;
      ``answer_tokens_per_second``: answers of this process, by the time of the rollout.

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
        rollout: of BACKENDS, who samples the answers: "TransformersBackend" with the model that is
            trained, which reads the image of a group once, or an engine. Left out, TRL's own
            generation, which reads it for every answer. ``max_new_tokens``, ``temperature`` and
            ``top_p`` are the trainer's. A backend with a model of its own starts with the one in
            ``work_dir/start`` and is handed the weights before it answers. What it samples counts
            as the trainer finds it likely, as TRL's ``vllm_importance_sampling_…`` say.
        shared_prefix: Compute the prompt of a group once (see `rexkit.packing`). Loss and gradients
            stay the same.
        attention: Attention of packed rows, as in `rexkit.packing.use_tree_attention`; None is
            "tree" on CPUs and "dense" elsewhere.
        completions_every: every so many steps the answers are left in ``work_dir/completions``,
            as `CompletionWriter` writes them; 0 for never.
        visualizer: of VISUALIZERS, draws them; if left out, a `PillowVisualizer`.
        callbacks: of transformers.
        arguments: every field of `trl.GRPOConfig`, by its own name.

    Raises:
        ConfigError: rollouts by a backend that cannot be given weights, or by one that shares a
            model in FSDP shards; too few prompts to fill one batch.
        ValueError: while training, a prompt with ``max_completion_length`` more tokens is longer
            than the model's ``max_length``; it names the sample. Nothing is cut.
        RewardError: while training, with ``reward_errors="raise"``.
    """

    model: Any

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
        rollout: Mapping[str, Any] | None = None,
        shared_prefix: bool = True,
        attention: AttentionKind | None = None,
        completions_every: int = 50,
        visualizer: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        **arguments: Any,
    ):
        self.vlm = vlm
        self.score = score
        self.shared_prefix = shared_prefix
        self.work_dir = work_dir = Path(work_dir)
        vlm.tokenizer.padding_side = "left"  # TRL pads images' token kinds by it
        system_prompt = vlm.encoder.system_prompt
        prompts = PromptDataset(train_data, system_prompt)
        sources = list(prompts.examples.sources)
        checked = None
        if val_data is not None:
            checked = PromptDataset(val_data, system_prompt, first_source=len(sources))
            sources += checked.examples.sources
        self.phases = StepTimer()
        self.completion_files = CompletionWriter(
            work_dir / "completions", completions_every, visualizer
        )
        self.answer_rewards = RewardFunction(
            sources, rewards, reward_errors, vlm.tokenizer, self._keep_completions
        )
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
        at_once = int(config.generation_batch_size or 0) // int(config.num_generations or 1)
        if len(prompts) < at_once:
            raise ConfigError(
                f"train_data: {len(prompts)} prompts do not fill a batch of {at_once}, which is "
                "per_device_train_batch_size x processes x gradient_accumulation_steps / "
                "num_generations of the trainer"
            )
        start = work_dir / "start"
        own = rollout is not None and not shares_model(rollout, "trainer.rollout")
        frozen = bool(config.beta) and not is_peft_model(vlm.model)
        with config.main_process_first():
            if (own or frozen) and config.process_index == 0:
                save_whole_weights(vlm, start)
        if frozen:  # TRL loads the reference from where the model says it comes from
            vlm.model.config.name_or_path = str(start)
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
                *default_callbacks(work_dir),
                OptimizerTimer(self.phases, "update"),
                *(callbacks or []),
            ],
        )
        if rollout is not None and not own and self.is_fsdp_enabled:
            raise ConfigError(
                "trainer.rollout: a model in FSDP shards computes as a whole only, and "
                f"{rollout['type']} asks its parts; set rollout=None for TRL's generation, or "
                "VLLMBackend"
            )
        if shared_prefix:
            kind = attention or default_tree_attention(self.args.device)
            use_tree_attention(vlm.model, kind)
            if self.ref_model is not None:
                use_tree_attention(self.accelerator.unwrap_model(self.ref_model), kind)
        self.train_dataset = prompts
        self._logged = (0, 0)  # steps and tokens
        self._answer_tokens = 0
        self.asked: list[dict[str, Any]] = []
        if rollout is not None:
            given = model_arguments(rollout, str(start)) if own else {"vlm": vlm}
            self.rollout_func = BackendRollouts(
                BACKENDS.build(
                    sampling_arguments(rollout, config, system_prompt, "trainer.rollout"),
                    key="trainer.rollout",
                    **given,
                ),
                shares_model=not own,
                starts_alike=not own or "model" in given,
                tasks=[source.task for source in sources],
                seed=config.seed,
                forbidden=sorted(forbidden),
                keep_logprobs=own and config.vllm_importance_sampling_correction,
            )

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the further config keys: fields of `trl.GRPOConfig`, except its use of vLLM."""
        names = {field.name for field in fields(GRPOConfig) if field.init}
        ours = {"output_dir", "reward_weights", "use_vllm"}
        return {
            name
            for name in names - ours
            if not name.startswith("vllm_") or name.startswith("vllm_importance_sampling_")
        }

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # of training
            logs = logs | self._speed()
        super().log(logs, start_time)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.is_first_step:  # the run may be resumed
            self.align_step()
            self._logged = (self.state.global_step, int(self.state.num_input_tokens_seen))
        with self.phases("update"):
            loss: torch.Tensor = super().training_step(*args, **kwargs)
        return loss

    def _speed(self) -> dict[str, float]:
        """Time and tokens since they were logged last."""
        seconds = self.phases.take()
        steps, tokens = self.state.global_step, int(self.state.num_input_tokens_seen)
        steps_before, tokens_before = self._logged
        self._logged = (steps, tokens)
        found = {f"time/{name}": s / (steps - steps_before) for name, s in seconds.items()}
        found["tokens_per_second"] = (tokens - tokens_before) / sum(seconds.values())
        if seconds.get("rollout"):
            found["answer_tokens_per_second"] = self._answer_tokens / seconds["rollout"]
        self._answer_tokens = 0
        return found

    def _phase(self, name: str) -> AbstractContextManager[None]:
        return self.phases(name) if self.model.training else nullcontext()

    def _keep_completions(
        self,
        step: int,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        rewards: RewardTable,
    ) -> None:
        if self.model.training:
            with self.phases("files"):
                self.completion_files.add(step, examples, predictions, rewards)

    def _allow_for_mismatch(self, batch: dict[str, Any]) -> None:
        """Multiply advantages by importance-sampling weights of what a backend sampled.

        TRL does so for its own use of vLLM only. The weights are put into the advantages, which
        its losses multiply with just as they would with the weights.
        """
        images = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
        mask, args = batch["completion_mask"], cast(GRPOConfig, self.args)
        if "old_per_token_logps" not in batch:
            with torch.no_grad():
                batch["old_per_token_logps"] = self.token_log_probs(
                    self.model,
                    torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                    torch.cat([batch["prompt_mask"], mask], dim=1),
                    mask.shape[1],
                    batch_size=args.per_device_train_batch_size,
                    **{name: batch[name] for name in images if name in batch},
                )[0]
        old, sampled = batch["old_per_token_logps"], batch["sampling_per_token_logps"]
        weights = importance_weights(
            old,
            sampled,
            mask,
            cast(Mode, args.vllm_importance_sampling_mode),
            args.vllm_importance_sampling_clip_min,
            args.vllm_importance_sampling_clip_max,
        )
        batch["advantages"] = batch["advantages"][:, None] * weights
        answered = mask.bool()
        difference = (old - sampled).abs()[answered & ~sampled.isnan()]
        ratio = weights[answered].mean().item()
        self.add_metric("sampling/sampling_logp_difference/mean", difference.mean().item())
        self.add_metric("sampling/importance_sampling_ratio/mean", ratio)

    def train_sampler(self) -> Sampler[Key]:
        """Return the sampler of prompts, which repeats each for its group."""
        args: Any = self.args
        prompts: Any = self.train_dataset
        return GroupSampler(
            len(prompts),
            args.seed,
            args.num_generations,
            args.generation_batch_size // args.num_generations,
            args.num_iterations * args.steps_per_generation,
        )

    def generate_and_score(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the completions of a batch of rows, with their rewards and advantages."""
        self.asked = inputs
        with self._phase("rollout"):
            found: dict[str, Any] = super().generate_and_score(inputs)
            if "sampling_per_token_logps" in found:
                self._allow_for_mismatch(found)
        if self.model.training:
            self._answer_tokens += int(found["completion_mask"].sum())
        return found

    def calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the rewards of completions, of all processes."""
        with self._phase("rewards"):
            rewards: torch.Tensor = super().calculate_rewards(*args, **kwargs)
        return rewards

    def tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Return the token ids of conversations, which must leave room for a completion."""
        found = super().tokenize_prompts(prompts)
        room = [0] * int(self.max_completion_length or 0)
        for row, ids in zip(self.asked, found[0], strict=True):
            self.vlm.encoder.check_length(row["example"], ids, room)
        return found

    def token_log_probs(self, *args: Any, **kwargs: Any) -> Any:
        """Return log-probabilities and entropies (B, T) of completions, and an auxiliary loss."""
        with self._phase("update" if torch.is_grad_enabled() else "log_probs"):
            return super().token_log_probs(*args, **kwargs)
