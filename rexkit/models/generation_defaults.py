"""The decoding settings that a checkpoint carries in its ``generation_config.json``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig


@contextmanager
def without_generation_defaults(model: Any) -> Iterator[None]:
    """Hide the decoding settings of a checkpoint for as long as the context lasts.

    ``generate`` fills every field that its caller leaves unset from
    ``model.generation_config``, such as ``repetition_penalty`` or ``no_repeat_ngram_size``. The
    settings come back afterwards, so that they are saved with the model.

    Args:
        model: of transformers; one with an adapter includes the model inside it.
    """
    models = [model, model.get_base_model()] if hasattr(model, "peft_config") else [model]
    own = [one.generation_config for one in models]
    try:
        for one in models:
            one.generation_config = GenerationConfig()
        yield
    finally:
        for one, config in zip(models, own, strict=True):
            one.generation_config = config
