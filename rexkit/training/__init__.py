"""Trainers: supervised fine-tuning, and reinforcement learning in `rexkit.training.grpo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexkit.lazy_names import lazy_names

if TYPE_CHECKING:
    from rexkit.training.collator import Collator as Collator
    from rexkit.training.sft_trainer import SFTTrainer as SFTTrainer
    from rexkit.training.trainer_mixin import TrainerMixin as TrainerMixin

__all__ = ["Collator", "SFTTrainer", "TrainerMixin"]

__getattr__ = lazy_names(
    __name__,
    {
        "Collator": "rexkit.training.collator",
        "SFTTrainer": "rexkit.training.sft_trainer",
        "TrainerMixin": "rexkit.training.trainer_mixin",
    },
)
