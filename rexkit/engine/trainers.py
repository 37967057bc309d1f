"""What TRAINERS holds. TRL takes seconds to import, so only who asks for a trainer waits for it."""

from importlib.util import find_spec

from rexkit.engine.sft import SFTTrainer

__all__ = ["SFTTrainer"]

if find_spec("trl"):  # of the extra rexkit[grpo]
    from rexkit.engine.grpo import GRPOTrainer

    __all__ += ["GRPOTrainer"]
