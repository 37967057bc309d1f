"""The trainers in TRAINERS; importing this module imports TRL, which takes seconds."""

from importlib.util import find_spec

from rexkit.training.sft_trainer import SFTTrainer

__all__ = ["SFTTrainer"]

if find_spec("trl"):  # of the extra rexkit[grpo]
    from rexkit.training.grpo.grpo_trainer import GRPOTrainer

    __all__ += ["GRPOTrainer"]
