"""The chat template of checkpoints that keep it in a file beside the tokenizer's."""

from __future__ import annotations

import json
from pathlib import Path

from rexkit._compat.transformers import cached_file
from rexkit.errors import ConfigError

CHAT_TEMPLATE = "chat_template.json"
"""Where processors of transformers 4 keep their template; tokenizers do not look for it."""


def load_chat_template(path: str) -> str:
    """Return the template in the ``chat_template.json`` of a checkpoint.

    Args:
        path: a folder or a hub id.

    Raises:
        ConfigError: there is no such file, or no template in it.
    """
    file = _find(path)
    if file is None:
        raise ConfigError(
            f"{path} has no chat template: neither its tokenizer_config.json, nor "
            f"chat_template.jinja, nor {CHAT_TEMPLATE}; copy the file of the model it was trained "
            "from into the folder"
        )
    try:
        content = json.loads(file.read_text("utf-8"))
        template = content["chat_template"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{file}: {error}; expected {{"chat_template": "…"}} with the Jinja text'
        ) from error
    if not isinstance(template, str):
        raise ConfigError(f"{file}: chat_template must be a text, got {type(template).__name__}")
    return template


def _find(path: str) -> Path | None:
    if Path(path).is_dir():
        file = Path(path, CHAT_TEMPLATE)
        return file if file.is_file() else None
    try:
        found = cached_file(path, CHAT_TEMPLATE)
    except OSError:  # the hub has no such file
        return None
    return None if found is None else Path(found)
