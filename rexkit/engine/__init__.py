"""The jobs: train, test; each a short script of the rooms above."""

from rexkit.engine.sft import SFTTrainer

__all__ = ["SFTTrainer"]
