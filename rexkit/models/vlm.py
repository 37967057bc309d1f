"""A model with its processor, as all other modules use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from rexkit.models.coordinate_tokens import coordinate_ids
from rexkit.models.encoder import Encoder
from rexkit.models.processors import VISION_TOKENS

Part = Literal["vision_tower", "projector", "language_model"]
PARTS: tuple[Part, ...] = ("vision_tower", "projector", "language_model")


class VLM:
    """A vision-language model of the Qwen2.5-VL or Qwen3-VL family and its processor.

    Args:
        model: the transformers model.
        processor: its processor.
        freeze: parts that do not train: "vision_tower", "projector", "language_model".
        system_prompt: what the chat starts with; None leaves it to the chat template.
        max_length: as in `Encoder`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        *,
        freeze: tuple[Part, ...] | list[Part] = (),
        system_prompt: str | None = None,
        max_length: int | None = None,
    ):
        self.model = model
        self.processor = processor
        self.processor.system_prompt = system_prompt
        self.tokenizer: Any = processor.tokenizer
        self.encoder = Encoder(processor, max_length)
        self.coordinate_ids = coordinate_ids(self.tokenizer)
        unknown = sorted(set(freeze) - set(PARTS))
        if unknown:
            raise ValueError(f"freeze: unknown part {unknown[0]!r}; the parts are {PARTS}")
        for name, parameter in model.named_parameters():
            if part_of(name) in freeze:
                parameter.requires_grad_(False)

    @property
    def inner(self) -> Any:
        """The model without its output layer (`Qwen3VLModel`, …), inside an adapter too."""
        model: Any = self.model
        return (model.get_base_model() if hasattr(model, "peft_config") else model).base_model

    def forbidden_ids(self) -> list[int]:
        """Return the ids that no completion may contain: vision tokens and rows without a token.

        A generated image token would break the next forward pass, and rows past the tokenizer's
        end are padding of the weight matrix.
        """
        return forbidden_ids(self.tokenizer, self.inner.config.get_text_config().vocab_size)

    def trainable_by_part(self) -> Iterator[tuple[Part, str, torch.nn.Parameter]]:
        """Yield every trainable parameter, with its name and the part of the model it is in."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                yield part_of(name), name, parameter

    def count_parameters(self, trainable: bool = False) -> dict[Part, int]:
        """Return the number of parameters of each part of the model.

        Args:
            trainable: count only those that train.
        """
        numbers: dict[Part, int] = dict.fromkeys(PARTS, 0)
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad or not trainable:
                numbers[part_of(name)] += parameter.numel()
        return numbers

    def save(self, folder: str | Path) -> None:
        """Write model, processor, chat template and generation config, as transformers reads it."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)


def forbidden_ids(tokenizer: Any, rows: int) -> list[int]:
    """Return the ids of vision tokens and of rows without a token.

    Args:
        tokenizer: of the model.
        rows: number of rows of the embedding matrix.
    """
    vision = [tokenizer.convert_tokens_to_ids(token) for token in VISION_TOKENS]
    return sorted({i for i in vision if i is not None} | set(range(len(tokenizer), rows)))


def part_of(parameter_name: str) -> Part:
    """Return the part of the model that a parameter is in, by its name in transformers.

    >>> part_of("model.visual.merger.linear_fc1.weight"), part_of("lm_head.weight")
    ('projector', 'language_model')
    """
    if ".visual." not in f".{parameter_name}":
        return "language_model"
    return "projector" if "merger" in parameter_name else "vision_tower"
