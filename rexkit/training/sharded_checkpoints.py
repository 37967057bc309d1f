"""Config and processor in checkpoints that are saved as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rexkit._compat.transformers import CHECKPOINT_PREFIX


class ShardDescription(TrainerCallback):
    """Put config, generation config and processor into checkpoints that are saved as shards.

    transformers writes them with whole weights only; without them `rexkit.models.export` could not
    name the weights in the shards.
    """

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Complete the checkpoint that was just saved."""
        folder = Path(args.output_dir) / f"{CHECKPOINT_PREFIX}-{state.global_step}"
        described = any((folder / f"{n}.json").is_file() for n in ("config", "adapter_config"))
        if state.is_world_process_zero and not described:
            for part in (kwargs["model"].config, kwargs["model"].generation_config):
                part.save_pretrained(folder)
            kwargs["processing_class"].save_pretrained(folder)
