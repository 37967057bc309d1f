"""GRPO trainer of TRL that computes the prompt of a group once, and changes nothing else."""

from __future__ import annotations

from typing import Any

import torch

from rexkit._compat.accelerate import is_peft_model
from rexkit._compat.trl import AdaptedGRPOTrainer, fused_log_probs
from rexkit.packing import label_positions, logits_at_labels, model_inputs, unfold
from rexkit.training.grpo.penalized_log_probs import penalized_log_probs
from rexkit.training.grpo.prefix_groups import share_prompts


class SharedPrefixGRPOTrainer(AdaptedGRPOTrainer):
    """GRPO trainer of TRL that computes the prompt of a group once.

    Log-probabilities and entropies, and so loss and gradients, equal those of the padded batch of
    TRL, for the policy, its old version and the reference. With a repetition penalty, which TRL
    ignores, they are those of the penalised distribution that completions were sampled from.

    Attributes:
        shared_prefix: Whether prompts are shared; if not, TRL computes its padded batch, without
            a repetition penalty.
    """

    shared_prefix: bool = True

    def token_log_probs(self, *args: Any, **kwargs: Any) -> Any:
        """Return log-probabilities and entropies (B, T) of completions, and an auxiliary loss."""
        if not self.shared_prefix:
            return super().token_log_probs(*args, **kwargs)
        return self._shared_log_probs(*args, **kwargs)

    def _shared_log_probs(
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
            raise ValueError(
                "shared_prefix: a mixture-of-experts model is not supported; set "
                "trainer.shared_prefix=False"
            )
        prompt_length = input_ids.shape[1] - logits_to_keep
        num_images = inputs["num_images"]
        patches = inputs["image_grid_thw"].prod(-1).tolist()
        inner = self.accelerator.unwrap_model(model)
        inner = (inner.get_base_model() if is_peft_model(inner) else inner).base_model
        step = batch_size or len(input_ids)
        found = []
        for start in range(0, len(input_ids), step):
            rows = slice(start, start + step)
            images = slice(sum(num_images[:start]), sum(num_images[: start + step]))
            pixels = slice(sum(patches[: images.start]), sum(patches[: images.stop]))
            prompts = {
                "input_ids": input_ids[rows, :prompt_length],
                "attention_mask": attention_mask[rows, :prompt_length],
                "mm_token_type_ids": inputs["mm_token_type_ids"][rows, :prompt_length],
                "pixel_values": inputs["pixel_values"][pixels],
                "image_grid_thw": inputs["image_grid_thw"][images],
            }
            completion_ids = input_ids[rows, prompt_length:]
            batch, branch = share_prompts(
                prompts, completion_ids, attention_mask[rows, prompt_length:], num_images[rows]
            )
            with self.accelerator.autocast(), logits_at_labels(inner, label_positions(batch)):
                arguments = model_inputs(batch, inner)
                values: tuple[torch.Tensor, torch.Tensor | None]
                if self.repetition_penalty == 1:
                    values = fused_log_probs(model, arguments, batch["labels"])
                else:
                    order = branch.argsort()  # the row of each branch
                    values = penalized_log_probs(
                        model(**arguments).logits[0],
                        batch,
                        {name: prompts[name][order] for name in ("input_ids", "attention_mask")},
                        completion_ids[order],
                        self.repetition_penalty,
                        self.temperature,
                    )
            wanted = values if compute_entropy else values[:1]
            found.append(
                [unfold(v, batch, logits_to_keep)[branch] for v in wanted if v is not None]
            )
        log_probs, *entropies = (torch.cat(parts) for parts in zip(*found, strict=True))
        return log_probs, entropies[0] if entropies else None, None
