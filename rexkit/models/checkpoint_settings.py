"""The pixel budget, the system prompt and the sampling parameters of a checkpoint.

Weights know images and prompts as they were trained: at other sizes, or after other system prompts,
their predictions are worse. A checkpoint that rexkit saves has all of them in ``rexkit.json``.
Others are used as the public code uses the released Rex-Omni weights.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from rexkit._compat.transformers import cached_file
from rexkit.errors import ConfigError
from rexkit.grammar.tokens import COORD_TOKENS

logger = logging.getLogger(__name__)

SETTINGS = "rexkit.json"

PUBLIC_SYSTEM_PROMPT = "You are a helpful assistant"
"""The system prompt of the public Rex-Omni inference code, without a full stop."""

PUBLIC_CELLS = (16, 2560)
"""The least and largest number of image tokens in the public Rex-Omni code."""

PUBLIC_SAMPLING: Mapping[str, Any] = {"repetition_penalty": 1.05, "max_new_tokens": 4096}
"""The sampling parameters of the public Rex-Omni inference code that are not those of rexkit."""

PUBLIC_IDS = ("IDEA-Research/Rex-Omni", "IDEA-Research/Rex-Omni-AWQ")


@dataclass(frozen=True)
class CheckpointSettings:
    """How a checkpoint is given images and prompts.

    Attributes:
        min_pixels: least number of pixels of a resized image.
        max_pixels: largest number of pixels of a resized image.
        system_prompt: the system message; None leaves it to the chat template.
        sampling: the sampling parameters of `rexkit.inference.predictor.Predictor`, where its
            caller sets none. Configs say their own.
    """

    min_pixels: int
    max_pixels: int
    system_prompt: str | None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Write the settings to the folder of a checkpoint."""
        content = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        Path(folder, SETTINGS).write_text(content, "utf-8")


def checkpoint_settings(
    path: str,
    cell: int,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    system_prompt: str | None = None,
    tokenizer: Any = None,
) -> CheckpointSettings:
    """Return the settings of a checkpoint, and log where they come from.

    Args:
        path: a folder or a hub id.
        cell: side in pixels of the square that becomes one token.
        min_pixels: least number of pixels of a resized image; None takes the checkpoint's.
        max_pixels: largest number of pixels of a resized image; None takes the checkpoint's.
        system_prompt: the system message; None takes the checkpoint's, and an empty string leaves
            it to the chat template.
        tokenizer: the checkpoint's, if it is loaded already.

    Raises:
        ConfigError: the ``rexkit.json`` of the checkpoint cannot be read.
    """
    saved = _saved(path)
    sampling = default_sampling(path, tokenizer)
    source = SETTINGS if saved else "the public Rex-Omni code"
    if saved is None:
        least, largest = (number * cell * cell for number in PUBLIC_CELLS)
        saved = CheckpointSettings(least, largest, PUBLIC_SYSTEM_PROMPT)
    settings = CheckpointSettings(
        min_pixels or saved.min_pixels,
        max_pixels or saved.max_pixels,
        saved.system_prompt if system_prompt is None else system_prompt or None,
        sampling,
    )
    logger.info(
        "%s: images of %d to %d pixels (%s), system prompt %r (%s), sampling %s",
        path,
        settings.min_pixels,
        settings.max_pixels,
        "as set" if min_pixels or max_pixels else source,
        settings.system_prompt or "of the chat template",
        source if system_prompt is None else "as set",
        dict(sampling) or "of rexkit",
    )
    return settings


def default_sampling(path: str, tokenizer: Any = None) -> Mapping[str, Any]:
    """Return the sampling parameters with which a checkpoint is used unless others are set.

    They are those in its ``rexkit.json``. Without that file, a checkpoint that has the coordinate
    tokens is taken for one of the public Rex-Omni code, whose parameters it gets.

    Args:
        path: a folder or a hub id.
        tokenizer: the checkpoint's, if it is loaded already.
    """
    saved = _saved(path)
    if saved is not None:
        return saved.sampling
    if path not in PUBLIC_IDS:
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(path)
        if COORD_TOKENS[-1] not in tokenizer.get_vocab():
            return {}
    return PUBLIC_SAMPLING


def _saved(path: str) -> CheckpointSettings | None:
    file: str | Path | None = Path(path, SETTINGS)
    if not Path(path).is_dir():
        try:
            file = cached_file(path, SETTINGS)
        except OSError:  # the hub has no such file, which only rexkit writes
            return None
    if file is None or not Path(file).is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(Path(file).read_text("utf-8"))
        return CheckpointSettings(**content)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{file}: {error}; expected min_pixels, max_pixels, system_prompt and sampling"
        ) from error
