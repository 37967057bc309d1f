"""Processors that turn images and text into model inputs, with or without torchvision.

The stock Qwen processors also build a video processor, which needs torchvision; rexkit asks
questions about images only. Where torchvision is missing, the image-only classes below stand in
for the stock ones, and `transformers.AutoProcessor` finds them once this module is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    ProcessorMixin,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLConfig
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from rexkit._compat.transformers import is_torchvision_available
from rexkit.errors import ConfigError
from rexkit.models.chat_template import load_chat_template
from rexkit.models.checkpoint_settings import SETTINGS, CheckpointSettings, checkpoint_settings
from rexkit.models.load_errors import loading
from rexkit.models.pixels import pixel_budget

IMAGE_TOKEN = "<|image_pad|>"
VIDEO_TOKEN = "<|video_pad|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
VISION_TOKENS = (VISION_START, VISION_END, IMAGE_TOKEN, VIDEO_TOKEN)


_PATCH_SETTINGS = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")


class _ImagesOnly(ProcessorMixin):
    """The part of a Qwen processor that needs no video processor."""

    video_processor_type: str  # of the stock processor
    system_prompt: str | None = None
    sampling: Mapping[str, Any] = MappingProxyType({})

    # ProcessorMixin reads off this signature which parts there are to save and load.
    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None):
        self.image_token, self.video_token = IMAGE_TOKEN, VIDEO_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> list[str]:
        """Save with `CheckpointSettings`, and without the name of this class.

        By the model's type, every reader finds its own class.

        Where torchvision is installed, readers build the stock processor, vLLM among them, and that
        wants settings for videos too: they are written with the patches of the images.
        """
        saved: list[str] = super().save_pretrained(save_directory, *args, **kwargs)
        folder = Path(save_directory)
        for name in ("processor_config.json", "tokenizer_config.json"):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            content.pop("processor_class", None)
            _write_json(folder / name, content)
        video = folder / "video_preprocessor_config.json"
        settings = {name: getattr(self.image_processor, name) for name in _PATCH_SETTINGS}
        _write_json(video, {"video_processor_type": self.video_processor_type, **settings})
        size = self.image_processor.size
        CheckpointSettings(
            size["shortest_edge"], size["longest_edge"], self.system_prompt, dict(self.sampling)
        ).save(folder)
        return [*saved, str(video), str(folder / SETTINGS)]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


class Qwen3VLImageProcessor(_ImagesOnly, Qwen3VLProcessor):
    """`Qwen3VLProcessor` for images only."""

    video_processor_type = "Qwen3VLVideoProcessor"


class Qwen2_5_VLImageProcessor(_ImagesOnly, Qwen2_5_VLProcessor):  # noqa: N801
    """`Qwen2_5_VLProcessor` for images only."""

    video_processor_type = "Qwen2VLVideoProcessor"


IMAGE_PROCESSORS: dict[str, type[ProcessorMixin]] = {
    "qwen3_vl": Qwen3VLImageProcessor,
    "qwen2_5_vl": Qwen2_5_VLImageProcessor,
}

if not is_torchvision_available():
    AutoProcessor.register(Qwen3VLConfig, Qwen3VLImageProcessor, exist_ok=True)
    AutoProcessor.register(Qwen2_5_VLConfig, Qwen2_5_VLImageProcessor, exist_ok=True)


def family_of(path: str) -> str:
    """Return the ``config.model_type`` of a checkpoint, a folder or hub id.

    Raises:
        ConfigError: there is no such checkpoint, or it is of no family that rexkit knows.
    """
    try:
        family: str = AutoConfig.from_pretrained(path).model_type
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{_missing(path)}: {reason}") from error
    if family not in IMAGE_PROCESSORS:
        known = ", ".join(IMAGE_PROCESSORS)
        raise ConfigError(f"{path} is a {family!r} model; known families are {known}")
    return family


def _missing(path: str) -> str:
    """Return what a path is that has no configuration of a model."""
    folder = Path(path)
    if path and folder.is_dir():
        final = folder / "final"
        hint = f" (it is a work directory; use {final})" if final.is_dir() else ""
        return f"{path} is not a checkpoint{hint}"
    return f"{path!r} is not a folder, and cannot be loaded from the model hub"


def load_processor(
    path: str,
    model_type: str,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    system_prompt: str | None = None,
) -> Any:
    """Load the processor of a checkpoint, for images, with its `CheckpointSettings`.

    Args:
        path: a folder or a hub id.
        model_type: the checkpoint's, as `family_of` gives it.
        min_pixels: as in `checkpoint_settings`.
        max_pixels: as in `checkpoint_settings`.
        system_prompt: as in `checkpoint_settings`.

    Raises:
        ConfigError: the checkpoint has no chat template.
        UserError: a file of the tokenizer or image processor cannot be loaded.
        ValueError: the pixel budget is empty or less than one cell.
    """
    with loading(path, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = load_chat_template(path)
    with loading(path, "image processor"):
        image_processor = AutoImageProcessor.from_pretrained(path)
    cell = image_processor.patch_size * image_processor.merge_size
    settings = checkpoint_settings(path, cell, min_pixels, max_pixels, system_prompt, tokenizer)
    image_processor.size = pixel_budget(settings.min_pixels, settings.max_pixels, cell)
    processor: Any = IMAGE_PROCESSORS[model_type](
        image_processor, tokenizer, chat_template=tokenizer.chat_template
    )
    processor.system_prompt = settings.system_prompt
    processor.sampling = settings.sampling
    return processor
