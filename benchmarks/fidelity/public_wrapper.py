"""The public `RexOmniWrapper` with a model that answers from a list.

Its processor, prompts, inputs and parser are its own. It needs the package ``qwen-vl-utils``; the
torchvision that this uses for videos is replaced by an empty module.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from PIL.Image import Image
from transformers import AutoProcessor

import rexkit.models  # noqa: F401 - AutoProcessor finds its processors without torchvision


@contextmanager
def public_package(public: Path) -> Iterator[ModuleType]:
    """Import the package ``rex_omni`` of a checkout, for as long as the context lasts."""
    torchvision: Any = ModuleType("torchvision")
    torchvision.io = torchvision.transforms = ModuleType("torchvision.transforms")
    torchvision.transforms.InterpolationMode = None
    modules = {"torchvision": torchvision, "torchvision.transforms": torchvision.transforms}
    with patch.dict(sys.modules, modules), patch.object(sys, "path", [str(public), *sys.path]):
        yield importlib.import_module("rex_omni")


class ListedAnswers:
    """A model that gives the next responses of a list, and keeps the inputs that it gets."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: Any, responses: Sequence[str]):
        self.tokenizer = tokenizer
        self.responses = list(responses)
        self.inputs: list[dict[str, Any]] = []

    def generate(self, input_ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Return the prompt with the next response, for one row."""
        self.inputs.append({"input_ids": input_ids, **inputs})
        text = self.responses[len(self.inputs) - 1] + "<|im_end|>"
        completion = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        return torch.cat([input_ids, completion.input_ids], 1)


def public_wrapper(package: ModuleType, checkpoint: str, responses: Sequence[str]) -> Any:
    """Return the public wrapper for transformers, with a `ListedAnswers` as its ``model``."""

    class Wrapper(package.RexOmniWrapper):  # type: ignore[name-defined, misc]
        def _initialize_model(self, **kwargs: Any) -> None:
            self.processor = AutoProcessor.from_pretrained(
                self.model_path, min_pixels=self.min_pixels, max_pixels=self.max_pixels
            )
            self.model = ListedAnswers(self.processor.tokenizer, responses)
            self.model_type = "transformers"

    return Wrapper(checkpoint)


def vllm_image(package: ModuleType, wrapper: Any, image: Image) -> Image:
    """Return the image that the public wrapper hands to vLLM."""
    budget = {"min_pixels": wrapper.min_pixels, "max_pixels": wrapper.max_pixels}
    content = [{"type": "image", "image": image, **budget}]
    images, _ = package.wrapper.process_vision_info([{"role": "user", "content": content}])
    found: Image = images[0]
    return found
