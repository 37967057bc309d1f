"""Config and processor in checkpoints that are saved as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def describe_shards(folder: Path, model: Any, processor: Any) -> None:
    """Put config, generation config and processor into a checkpoint that is saved as shards.

    transformers writes them with whole weights only; without them `rexkit.models.export` could not
    name the weights in the shards.

    Args:
        folder: of the checkpoint; nothing is written if it has them.
        model: the model in training, without wrappers.
        processor: its processor.
    """
    if not any((folder / f"{name}.json").is_file() for name in ("config", "adapter_config")):
        for part in (model.config, model.generation_config):
            part.save_pretrained(folder)
        processor.save_pretrained(folder)
