"""Private and experimental names of TRL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from trl.models.utils import unwrap_model_for_generation
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

__all__ = [
    "AdaptedGRPOTrainer",
    "GRPOConfig",
    "fused_log_probs",
    "generation_model",
]


class AdaptedGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """`trl.GRPOTrainer` with public names for the private methods that rexkit overrides.

    Each method below does what the method of TRL with the similar name does; TRL calls it.
    """

    model: Any

    def train_sampler(self) -> Any:
        """Return the sampler of training prompts."""
        raise NotImplementedError

    def generate_and_score(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the completions of a batch of rows, with their rewards and advantages."""
        found: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return found

    def calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the rewards of completions, of all processes."""
        rewards: torch.Tensor = super()._calculate_rewards(*args, **kwargs)
        return rewards

    def tokenize_prompts(self, prompts: list[Any]) -> Any:
        """Return the token ids of conversations, first in a tuple."""
        return super()._tokenize_prompts(prompts)

    def token_log_probs(self, *args: Any, **kwargs: Any) -> Any:
        """Return log-probabilities and entropies (B, T) of completions, and an auxiliary loss."""
        return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def rollout_state(self) -> dict[str, Any]:
        """Return how far the updates on the current completions are, and those still needed."""
        args: Any = self.args
        every = args.steps_per_generation * self.num_iterations
        needed = self._step % every != 0
        return {"step": self._step, "completions": self._buffered_inputs if needed else None}

    def set_rollout_state(self, state: dict[str, Any]) -> None:
        """Go on with what `rollout_state` returned."""
        completions: Any = state["completions"]
        if completions is not None:
            device = self.accelerator.device
            completions = [
                {name: _on_device(value, device) for name, value in part.items()}
                for part in completions
            ]
        self._step, self._buffered_inputs = state["step"], completions

    def add_metric(self, name: str, value: float) -> None:
        """Log the mean of a value with the metrics of TRL."""
        self._metrics["train" if self.model.training else "eval"][name].append(value)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return self.train_sampler()

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return self.generate_and_score(inputs)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.calculate_rewards(*args, **kwargs)

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        return self.tokenize_prompts(prompts)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        return self.token_log_probs(*args, **kwargs)


def _on_device(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def fused_log_probs(
    model: Any, inputs: dict[str, Any], labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return log-probabilities and entropies (N,) without computing all logits at once.

    TRL computes no entropies for a reference; they are None.

    Args:
        model: Model that TRL gave a fused output layer.
        inputs: Arguments of the model.
        labels: (N,) token ids, one for each hidden state.
    """
    output = model(**inputs, shift_labels=labels[None], fused_lm_head=True)
    return output.log_probs[0], None if output.entropy is None else output.entropy[0]


def generation_model(trainer: Any) -> AbstractContextManager[Any]:
    """Gather the model of a trainer for generation, for as long as the context lasts."""
    found: AbstractContextManager[Any] = unwrap_model_for_generation(
        trainer.model_wrapped,
        trainer.accelerator,
        gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
        gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
    )
    return found
