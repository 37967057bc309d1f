"""TRL's trainer with a group's prompt computed once, and nothing else changed."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import is_peft_model
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

from rexkit.packing import grow, predicting_only, unfold
from rexkit.training.grpo.prefix_groups import share_prompts


class SharedPrefixGRPOTrainer(TRLTrainer):  # type: ignore[misc]
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
            images = slice(sum(num_images[:start]), sum(num_images[: start + step]))
            pixels = slice(sum(patches[: images.start]), sum(patches[: images.stop]))
            prompts = {
                "input_ids": input_ids[rows, :asked],
                "attention_mask": attention_mask[rows, :asked],
                "mm_token_type_ids": inputs["mm_token_type_ids"][rows, :asked],
                "pixel_values": inputs["pixel_values"][pixels],
                "image_grid_thw": inputs["image_grid_thw"][images],
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
