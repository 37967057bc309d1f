"""Group relative policy optimisation (GRPO) of completions that are sampled in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback

from rexkit._compat.accelerate import is_peft_model
from rexkit._compat.peft import complete_wrappers
from rexkit._compat.trl import GRPOConfig
from rexkit.argument_types import check_types
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Key
from rexkit.models.generation_defaults import without_generation_defaults
from rexkit.models.vlm import VLM
from rexkit.models.whole_weights import save_whole_weights
from rexkit.packing import AttentionKind, default_tree_attention, use_tree_attention
from rexkit.registry import BACKENDS, TRAINERS
from rexkit.rewards import RewardTable
from rexkit.rewards.weighted_rewards import OnRewardError
from rexkit.structures import Example
from rexkit.training.grpo.completion_files import CompletionWriter
from rexkit.training.grpo.importance_sampling import Mode, importance_weights
from rexkit.training.grpo.prompts import GroupSampler, PromptDataset
from rexkit.training.grpo.reward_function import Completion, RewardFunction
from rexkit.training.grpo.rollouts import (
    BackendRollouts,
    model_arguments,
    sampling_arguments,
    shares_model,
)
from rexkit.training.grpo.shared_prefix import SharedPrefixGRPOTrainer
from rexkit.training.grpo.step_timer import OptimizerTimer, StepTimer
from rexkit.training.reentrant_checkpointing import require_patch_grads
from rexkit.training.trainer_mixin import Score, TrainerMixin, default_callbacks


@TRAINERS.register_module()
class GRPOTrainer(TrainerMixin, SharedPrefixGRPOTrainer):
    """Train with group relative policy optimisation, on top of `trl.GRPOTrainer`.

    Losses, clipping, KL to a reference, several updates for each batch and checkpoints are TRL's;
    data, rewards, rollouts and shared-prefix packing are rexkit's. Completions never contain vision
    tokens or unused rows of the vocabulary.

    ``log.jsonl`` has the mean and standard deviation of every reward, the problems of completions
    by kind, the share of groups whose completions all have the same reward
    (``frac_reward_zero_std``), completion lengths, clipping, KL and entropy, and for this process:

    - ``time/rollout``, ``time/rewards``, ``time/log_probs``, ``time/update``: seconds of each step.
      Rewards include waiting for other processes; log-probabilities are those of the old policy
      and the reference; an update is forward, backward and optimizer. ``time/files`` is spent
      writing completions.
    - ``tokens_per_second``: prompt and completion tokens of all processes over the time of all
      phases; ``completion_tokens_per_second``: completion tokens of this process over the time of
      the rollout.

    Args:
        vlm: the model.
        train_data: examples; their prompts are sampled from, their targets passed to the rewards.
        work_dir: folder of checkpoints, ``log.jsonl`` and TensorBoard files.
        val_data: examples for the rewards of validation.
        score: called at each evaluation; its metrics are logged as ``eval_…``.
        seed: of data order and sampling.
        rewards: names or configs of REWARDS with their weights (see `WeightedRewards`); a source
            of ``train_data`` may have its own.
        reward_errors: "raise" stops where a reward raises or is not in [0, 1]; "zero" gives 0 and
            counts the errors.
        rollout: config of BACKENDS that samples completions: "TransformersBackend" with the model
            that is trained, which encodes the image of a group once, or an engine. None is TRL's
            own generation, which encodes the image for every completion. ``max_new_tokens``,
            ``temperature``, ``top_p``, ``top_k``, ``min_p`` and ``repetition_penalty`` are the
            trainer's, whatever the checkpoint's ``generation_config.json`` says. With a
            ``repetition_penalty``, log-probabilities are those of the penalised distribution. A
            backend that loads its own model starts with ``work_dir/start`` and is given new weights
            after each step; its samples are reweighted by truncated importance sampling, as TRL's
            ``vllm_importance_sampling_…`` arguments say.
        shared_prefix: Compute the prompt of a group once (see `rexkit.packing`). Loss and gradients
            stay the same.
        attention: Attention of packed rows, as in `rexkit.packing.use_tree_attention`; None is
            "tree" on CPUs and "dense" elsewhere.
        completions_every: number of steps between two folders of completions in
            ``work_dir/completions`` (see `CompletionWriter`); 0 writes none.
        visualizer: of VISUALIZERS, draws completions; None is a `PillowVisualizer`.
        callbacks: of transformers.
        arguments: every field of `trl.GRPOConfig`, by its own name.

    Raises:
        ConfigError: the rollout backend cannot take new weights, or shares a model in FSDP shards;
            there are too few prompts for one batch; or ``repetition_penalty`` is set without a
            rollout backend or without ``shared_prefix``.
        DataError: while training, a row cannot be used, its image is thinner than the model
            accepts, or its prompt with ``max_completion_length`` more tokens is longer than the
            model's ``max_length``; nothing is truncated. Rows of datasets with ``on_error="skip"``
            are skipped.
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
        room = arguments.get("max_completion_length", GRPOConfig.max_completion_length)
        limit = partial(vlm.encoder.check, room=int(room or 0))
        for data in (train_data, val_data):
            if data is not None:
                data.skip_unusable(limit)
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
        self.reward_function = RewardFunction(
            sources, rewards, reward_errors, vlm.tokenizer, self._keep_completions
        )
        generation = dict(arguments.pop("generation_kwargs", None) or {})
        forbidden = {*vlm.forbidden_ids(), *generation.pop("suppress_tokens", ())}
        accelerated = torch.cuda.is_available()
        check_types(GRPOConfig, arguments, "trainer")
        try:
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
        except ValueError as error:  # such as a num_generations that does not divide the batch
            raise ConfigError(f"trainer: {error}") from error
        if config.repetition_penalty != 1 and (rollout is None or not shared_prefix):
            missing = "rollout" if rollout is None else "shared_prefix"
            raise ConfigError(
                f"trainer.repetition_penalty: {config.repetition_penalty} needs {missing}, since "
                "the log-probabilities of TRL are those without a penalty; set "
                "trainer.rollout=dict(type='TransformersBackend') and trainer.shared_prefix=True, "
                "or leave it out"
            )
        batch_size, group_size = config.generation_batch_size, config.num_generations
        prompts_per_batch = int(batch_size or 0) // int(group_size or 1)
        if len(prompts) < prompts_per_batch:
            raise ConfigError(
                f"train_data: {len(prompts)} prompts do not fill a batch of {prompts_per_batch}, "
                "which is per_device_train_batch_size x processes x gradient_accumulation_steps / "
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
        total: Any = self.reward_function.total
        super().__init__(
            model=vlm.model,
            reward_funcs=total,
            args=config,
            # TRL requires a table here; the rows, which change each epoch, are set below.
            train_dataset=Dataset.from_dict({"prompt": [""] * len(prompts)}),
            eval_dataset=checked,
            processing_class=vlm.processor,
            callbacks=[
                *default_callbacks(work_dir),
                OptimizerTimer(self.phases, "update"),
                *(callbacks or []),
            ],
        )
        if is_peft_model(vlm.model):  # TRL has added a reference
            complete_wrappers(vlm.model)
        require_patch_grads(vlm, self.args)
        if rollout is not None and not own and self.is_fsdp_enabled:
            raise ConfigError(
                "trainer.rollout: the parts of a model in FSDP shards cannot be called one by one, "
                f"as {rollout['type']} does; set rollout=None for TRL's generation, or use "
                "VLLMBackend"
            )
        if shared_prefix:
            kind = attention or default_tree_attention(self.args.device)
            use_tree_attention(vlm.model, kind)
            if self.ref_model is not None:
                use_tree_attention(self.accelerator.unwrap_model(self.ref_model), kind)
        self.train_dataset = prompts
        self._logged: tuple[int, int] | None = None  # steps and tokens
        self._completion_tokens = 0
        self.prompt_rows: list[dict[str, Any]] = []
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
        """Log metrics; those of training with the time of each phase and tokens per second."""
        if "loss" in logs:  # of training
            logs = logs | self._speed()
        super().log(logs, start_time)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the loss of one batch after its backward pass."""
        if self._logged is None:  # the run may be resumed
            self._logged = (self.state.global_step, int(self.state.num_input_tokens_seen))
        with self.phases("update"):
            loss: torch.Tensor = super().training_step(*args, **kwargs)
        return loss

    def save_progress(self, folder: Path) -> None:
        """Save the completions that further steps of the current round learn from."""
        torch.save(self.rollout_state(), self._rollout_file(folder))

    def load_progress(self, folder: Path) -> None:
        """Load the completions of a round that a checkpoint was written in the middle of."""
        file = self._rollout_file(folder)
        if file.is_file():  # a checkpoint of version 0.2 has none
            self.set_rollout_state(torch.load(file, map_location="cpu", weights_only=True))

    def _rollout_file(self, folder: Path) -> Path:
        return folder / f"rollouts_{self.args.process_index}.pt"

    def _speed(self) -> dict[str, float]:
        """Return times and throughput since the last log entry."""
        seconds = self.phases.take()
        steps, tokens = self.state.global_step, int(self.state.num_input_tokens_seen)
        assert self._logged is not None
        steps_before, tokens_before = self._logged
        self._logged = (steps, tokens)
        found = {f"time/{name}": s / (steps - steps_before) for name, s in seconds.items()}
        found["tokens_per_second"] = (tokens - tokens_before) / sum(seconds.values())
        if seconds.get("rollout"):
            rate = self._completion_tokens / seconds["rollout"]
            found["completion_tokens_per_second"] = rate
        self._completion_tokens = 0
        return found

    def _phase(self, name: str) -> AbstractContextManager[None]:
        return self.phases(name) if self.model.training else nullcontext()

    def _keep_completions(
        self,
        step: int,
        examples: Sequence[Example],
        completions: Sequence[Completion],
        rewards: RewardTable,
    ) -> None:
        if self.model.training:
            with self.phases("files"):
                self.completion_files.add(step, examples, completions, rewards)

    def _reweight_by_importance(self, batch: dict[str, Any]) -> None:
        """Multiply advantages by the importance-sampling weights of a backend's completions.

        TRL applies such weights for its own use of vLLM only. Its losses are linear in the
        advantages, so weighting those is the same.
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
        is_completion = mask.bool()
        difference = (old - sampled).abs()[is_completion & ~sampled.isnan()]
        ratio = weights[is_completion].mean().item()
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
        self.prompt_rows = inputs
        model = self.accelerator.unwrap_model(self.model)
        with self._phase("rollout"), without_generation_defaults(model):
            found: dict[str, Any] = super().generate_and_score(inputs)
            if "sampling_per_token_logps" in found:
                self._reweight_by_importance(found)
        if self.model.training:
            self._completion_tokens += int(found["completion_mask"].sum())
        return found

    def calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the rewards of completions, of all processes."""
        with self._phase("rewards"):
            rewards: torch.Tensor = super().calculate_rewards(*args, **kwargs)
        return rewards

    def tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Return the token ids of conversations, which must leave room for a completion."""
        found = super().tokenize_prompts(prompts)
        room = int(self.max_completion_length or 0)
        for row, ids in zip(self.prompt_rows, found[0], strict=True):
            self.vlm.encoder.check_length(row["example"].source, len(ids), room)
        return found

    def token_log_probs(self, *args: Any, **kwargs: Any) -> Any:
        """Return log-probabilities and entropies (B, T) of completions, and an auxiliary loss."""
        with self._phase("update" if torch.is_grad_enabled() else "log_probs"):
            return super().token_log_probs(*args, **kwargs)
