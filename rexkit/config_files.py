"""The files of configs: Python, JSON or YAML for people, and JSON that runs nothing.

A config in Python is a program, and is run. So that the results of others can be looked at, every
job also writes its config as plain JSON (`write_plain`), which names components without importing
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from mmengine.fileio import BaseFileHandler, register_handler

from rexkit.errors import ConfigError, UserError
from rexkit.whole_files import write_whole


def read_config(path: str | Path) -> dict[str, Any]:
    """Return what a config file says; whatever is wrong with it becomes one `ConfigError`."""
    try:
        loaded = Config.fromfile(str(path), import_custom_modules=False).to_dict()
    except (UserError, FileNotFoundError):
        raise
    except RecursionError as error:
        raise ConfigError(f"{path}: it includes itself by _base_, or is nested too deep") from error
    except Exception as error:  # a Python config may raise anything
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{path}: it cannot be read as a config ({type(error).__name__}: {text})"
        ) from error
    strange = next((name for name in loaded if not isinstance(name, str)), None)
    if strange is not None:
        raise ConfigError(f"{path}: the key {strange!r} must be a name")
    return dict(loaded)


def write_plain(config: Mapping[str, Any], path: Path) -> None:
    """Write a config as JSON, which can be read without running anything, by rename.

    Classes and functions are written as their names, tuples as lists.
    """
    text = json.dumps(config, default=lambda value: getattr(value, "__name__", repr(value)))
    write_whole(path, f"{text}\n")


def read_plain(path: Path) -> dict[str, Any]:
    """Read a config that `write_plain` wrote; nothing that it names is imported.

    Raises:
        ConfigError: it is no JSON object.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: it is not a config in JSON ({error})") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: a config must be a JSON object")
    return config


class _Yaml(yaml.SafeLoader):
    """Reads ``1e-3`` as a number, as YAML 1.2 and Python do, and not as a text."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@register_handler(["yaml", "yml"])  # type: ignore[untyped-decorator]
class _SafeYaml(BaseFileHandler):  # type: ignore[misc]
    """Reads YAML without making objects of it, unlike mmengine's own handler."""

    def load_from_fileobj(self, file: Any, **options: Any) -> Any:
        return yaml.load(file, _Yaml)  # a safe loader

    def dump_to_fileobj(self, obj: Any, file: Any, **options: Any) -> None:
        yaml.safe_dump(obj, file)

    def dump_to_str(self, obj: Any, **options: Any) -> str:
        return str(yaml.safe_dump(obj))
