"""Group relative policy optimisation (GRPO), on TRL's trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexkit.lazy_names import lazy_names

if TYPE_CHECKING:
    from rexkit.training.grpo.grpo_trainer import GRPOTrainer as GRPOTrainer

__all__ = ["GRPOTrainer"]

__getattr__ = lazy_names(__name__, {"GRPOTrainer": "rexkit.training.grpo.grpo_trainer"})
